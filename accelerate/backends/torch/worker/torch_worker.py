"""The torch worker: one Transformers model behind the protocol of docs/wire.md, on file 3.

    python torch_worker.py            serves
    python torch_worker.py --probe    prints what torch can do here as JSON, after doing it

A decoder keeps one KV cache a slot and runs its inputs one after another; logits are float32. An encoder runs one input at a time.
"""
import array
import copy
import json
import os
import queue
import socket
import struct
import sys
import threading

os.environ["HF_HUB_OFFLINE"] = "1"  # what is run is on this disk
os.environ["TOKENIZERS_PARALLELISM"] = "false"

PROTOCOL = 1
MESSAGE_BYTES_MAX = 256 << 20
CHANNEL = 3
BATCH_TOKENS_MAX = 512
REGION_BYTES = 16 << 20
# The order of ErrorCode in base/result.h.
CANCELLED, UNKNOWN, INVALID_ARGUMENT, NOT_FOUND, RESOURCE_EXHAUSTED, PRECONDITION, OUT_OF_RANGE, UNIMPLEMENTED, INTERNAL, DATA_LOSS = 0, 1, 2, 4, 7, 8, 10, 11, 12, 14


class Refusal(Exception):
    """An error that is the answer of a call."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


class Channel:
    """Whole messages over a Unix socket; sending is for any thread."""

    def __init__(self, descriptor):
        self.socket = socket.socket(fileno=descriptor)
        self.lock = threading.Lock()

    def send(self, type_, blobs=(), file=None, /, **fields):
        fields["type"] = type_
        if blobs:
            fields["blobs"] = [len(blob) for blob in blobs]
        text = json.dumps(fields).encode()
        body = struct.pack("<I", len(text)) + text + b"".join(blobs)
        with self.lock:
            if len(body) > MESSAGE_BYTES_MAX:
                raise Refusal(RESOURCE_EXHAUSTED, "[torch] the answer is larger than a message may be")
            head = struct.pack("<Q", len(body))
            if file is None:
                self.socket.sendall(head)
            else:
                socket.send_fds(self.socket, [head], [file])
            self.socket.sendall(body)

    def _exactly(self, count):
        piece = bytearray(count)
        view, have = memoryview(piece), 0
        while have < count:
            got = self.socket.recv_into(view[have:])
            if got == 0:
                raise EOFError
            have += got
        return piece

    def receive(self):
        """(fields, blobs) of the next message; EOFError when the other side has left."""
        (size,) = struct.unpack("<Q", self._exactly(8))
        if not 4 <= size <= MESSAGE_BYTES_MAX:
            raise EOFError
        body = self._exactly(size)
        (text,) = struct.unpack("<I", body[:4])
        fields, at, blobs = json.loads(body[4:4 + text]), 4 + text, []
        for length in fields.get("blobs", []):
            blobs.append(body[at:at + length])
            at += length
        return fields, blobs


def u32(blob):
    values = array.array("I")
    values.frombytes(bytes(blob))
    return values


def resident_bytes():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def cut(cache, tokens):
    """Drops what is behind the first `tokens` tokens."""
    extra = cache.get_seq_length() - tokens
    if extra < 0:
        raise Refusal(OUT_OF_RANGE, f"[torch] a slot is not made longer; it holds {tokens + extra} tokens, got {tokens}")
    if extra > 0:
        cache.crop(-extra)


class Decoder:
    """Slots over a causal language model."""

    def __init__(self, model, config, order):
        self.model, self.slots, self.generations = model, {}, 0
        self.vocabulary = config.vocab_size
        self.context = min(order["context"] or config.max_position_embeddings, config.max_position_embeddings)
        self.slots_max, self.device = order["slots"], model.device
        layers, heads = config.num_hidden_layers, config.num_key_value_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.kv_tokens = order["kv_tokens"] or self.context * self.slots_max
        self.kv_bytes = 2 * layers * heads * width * model.dtype.itemsize * self.kv_tokens

    def describe(self):
        return {"vocabulary": self.vocabulary, "slots_max": self.slots_max, "slots_kept_max": 0, "context_max": self.context,
                "batch_tokens_max": BATCH_TOKENS_MAX, "truncate_exact": True, "fork": 1, **self.capacity()}

    def capacity(self):
        return {"kv_free": self.kv_tokens - self.used(), "kv_total": self.kv_tokens, "slots_free": self.slots_max - len(self.slots)}

    def used(self):
        return sum(cache.get_seq_length() for cache, _ in self.slots.values())

    def slot(self, index, generation):
        cache, own = self.slots.get(index, (None, None))
        if cache is None or own != generation:
            raise Refusal(INVALID_ARGUMENT, "[torch] the slot is closed")
        return cache

    def add(self, cache):
        free = next((i for i in range(self.slots_max) if i not in self.slots), None)
        if free is None:
            raise Refusal(RESOURCE_EXHAUSTED, "[torch] all slots are taken")
        self.generations += 1
        self.slots[free] = (cache, self.generations)
        return {"index": free, "generation": self.generations}

    def open(self):
        import transformers
        return self.add(transformers.DynamicCache())

    def fork(self, cache, tokens):
        if self.used() + tokens > self.kv_tokens:
            raise Refusal(RESOURCE_EXHAUSTED, "[torch] no KV is left for a copy")
        forked = copy.deepcopy(cache)
        cut(forked, tokens)
        return self.add(forked)

    def append(self, cache, tokens, everything):
        """float32 logits of the last token, or of all; the cache is as before where it fails."""
        import torch
        length = cache.get_seq_length()
        if len(tokens) == 0:
            raise Refusal(INVALID_ARGUMENT, "[torch] an input has a token")
        if length + len(tokens) > self.context:
            raise Refusal(OUT_OF_RANGE, f"[torch] a sequence has at most {self.context} tokens; got {length + len(tokens)}")
        if max(tokens) >= self.vocabulary:
            raise Refusal(INVALID_ARGUMENT, f"[torch] token ids are below {self.vocabulary}; got {max(tokens)}")
        if self.used() + len(tokens) > self.kv_tokens:
            raise Refusal(RESOURCE_EXHAUSTED, f"[torch] no KV is left for {len(tokens)} tokens")
        try:
            ids = torch.tensor([list(tokens)], device=self.device)
            logits = self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=0 if everything else 1).logits[0]
            logits = logits.float().cpu().contiguous()
            if not torch.isfinite(logits).all():
                raise Refusal(DATA_LOSS, "[torch] logits are NaN or infinite")
            return logits
        except Exception:
            cut(cache, length)
            raise


class Encoder:
    """Vectors or scores of a BERT-like model."""

    def __init__(self, model, config, order):
        self.model, self.order, self.device, self.kv_bytes = model, order, model.device, 0
        self.tokens_max = order["tokens_max"] or config.max_position_embeddings
        self.vocabulary = config.vocab_size

    def describe(self):
        return {"tokens_max": self.tokens_max, "batch_tokens_max": self.tokens_max, "width": self.order["width"], "labels": self.order["labels"]}

    def check(self, index, tokens):
        if len(tokens) == 0:
            raise Refusal(INVALID_ARGUMENT, f"[torch] input {index} has no token")
        if len(tokens) > self.tokens_max:
            raise Refusal(OUT_OF_RANGE, f"[torch] input {index} has at most {self.tokens_max} tokens; got {len(tokens)}")
        if max(tokens) >= self.vocabulary:
            raise Refusal(INVALID_ARGUMENT, f"[torch] token ids of input {index} are below {self.vocabulary}; got {max(tokens)}")

    def run(self, tokens, second, output):
        import torch
        ids = torch.tensor([list(tokens)], device=self.device)
        types = torch.zeros_like(ids)
        types[0, min(second, len(tokens)):] = 1
        result = self.model(input_ids=ids, token_type_ids=types)
        if output == 2:
            if not self.order["labels"]:
                raise Refusal(UNIMPLEMENTED, "[torch] the model has no head")
            return result.logits.float().cpu()
        if self.order["labels"]:
            raise Refusal(UNIMPLEMENTED, "[torch] the model has a head and gives no vectors")
        hidden = result.last_hidden_state[0].float()
        if output == 1:
            return hidden.cpu()
        pooling = self.order["pooling"]
        pooled = {"mean": lambda: hidden.mean(0), "cls": lambda: hidden[0], "last": lambda: hidden[-1]}
        if pooling not in pooled:
            raise Refusal(UNIMPLEMENTED, "[torch] the model says no pooling")
        vector = pooled[pooling]()
        if self.order["normalize"]:
            vector = torch.nn.functional.normalize(vector, dim=0)
        return vector[None].cpu()


def load_model(order):
    """The model in eval mode on its device and its text configuration."""
    import torch
    import transformers
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(order["threads"])
    torch.set_grad_enabled(False)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[order["dtype"]]
    path = order["model"]
    if os.path.isfile(path) and path.endswith(".gguf"):
        from gguf_weights import from_gguf
        model = from_gguf(path, "sdpa")
    else:
        folder = path if os.path.isdir(path) else os.path.dirname(path)
        kind = transformers.AutoModelForCausalLM
        if order["kind"] == "encoder":
            kind = transformers.AutoModelForSequenceClassification if order["labels"] else transformers.AutoModel
        model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa", trust_remote_code=False)
    model = model.to(dtype).to(order["device"]).eval()
    return model, model.config.get_text_config()


class Server:
    """Answers one call at a time; a thread reads beside it."""

    def __init__(self):
        self.channel, self.requests, self.acknowledged = Channel(CHANNEL), queue.Queue(), queue.Queue()
        self.stop, self.program, self.region, self.region_file, self.id = threading.Event(), None, None, None, 0

    def serve(self):
        self.channel.send("hello", protocol=PROTOCOL)
        hello, _ = self.channel.receive()
        if hello.get("protocol") != PROTOCOL:
            sys.exit(f"protocol {hello.get('protocol')} is not ours, {PROTOCOL}")
        threading.Thread(target=self.read, daemon=True).start()
        while True:
            fields, blobs = self.requests.get()
            self.id = fields["id"]
            self.stop.clear()
            try:
                self.answer(fields, blobs)
            except Refusal as refusal:
                self.channel.send("error", id=self.id, code=refusal.code, message=str(refusal))
            except MemoryError as problem:
                self.channel.send("error", id=self.id, code=RESOURCE_EXHAUSTED, message=f"[torch] no memory left: {problem}")
            except Exception as problem:  # noqa: BLE001 - whatever torch throws is the caller's error
                code = RESOURCE_EXHAUSTED if type(problem).__name__ == "OutOfMemoryError" else INTERNAL
                self.channel.send("error", id=self.id, code=code, message=f"[torch] {type(problem).__name__}: {problem}")

    def read(self):
        try:
            while True:
                fields, blobs = self.channel.receive()
                kind = fields.get("type")
                if kind == "ping":
                    self.channel.send("pong")
                elif kind == "stop":
                    self.stop.set()
                elif kind == "acknowledged":
                    self.acknowledged.put(True)
                else:
                    self.requests.put((fields, blobs))
        except (EOFError, OSError):
            os._exit(0)  # nobody is left to hear of a step that goes on

    def answer(self, fields, blobs):
        kind = fields["type"]
        if kind == "load":
            self.load(fields)
        elif self.program is None:
            raise Refusal(PRECONDITION, "[torch] nothing is loaded yet")
        elif isinstance(self.program, Encoder):
            if kind != "encode":
                raise Refusal(UNIMPLEMENTED, f"[torch] an encoder does not do '{kind}'")
            self.encode(fields, blobs)
        elif kind == "step":
            self.step(blobs)
        else:
            self.channel.send("done", id=self.id, **self.change(kind, fields), **self.program.capacity())

    def progress(self, what, done, total):
        self.channel.send("progress", id=self.id, more=True, what=what, done=done, total=total, unit="steps")
        if self.stop.is_set():
            raise Refusal(CANCELLED, "[torch] stopped")

    def load(self, order):
        if self.program is not None:
            raise Refusal(PRECONDITION, "[torch] a worker loads one program in its life")
        self.progress("torch is starting", 0, 3)
        import torch
        import transformers
        self.progress("torch loads the weights", 1, 3)
        runtime = resident_bytes()
        model, config = load_model(order)
        self.progress("torch is ready", 3, 3)
        decoder = order["kind"] == "decoder"
        self.program = (Decoder if decoder else Encoder)(model, config, order)
        weights = sum(p.numel() * p.element_size() for p in model.parameters())
        extra, file = {}, None
        if decoder:
            row = 4 * self.program.vocabulary
            size = max(REGION_BYTES // row, 1) * row
            file = self.make_region(size)
            extra = {"region_bytes": size}
        self.channel.send("loaded", (), file, id=self.id, kind=0 if decoder else 1, memory_bytes=weights + self.program.kv_bytes + runtime,
                          notes=[f"torch {torch.__version__}, transformers {transformers.__version__}, eager, {order['dtype']}",
                                 "torch runs one sequence at a time"],
                          report=[f"torch {torch.__version__} on {order['device']}, {order['threads']} threads, {order['dtype']}"],
                          **self.program.describe(), **extra)

    def make_region(self, size):
        import fcntl
        import mmap
        file = os.memfd_create("ipfs-accelerate-torch", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(file, size)
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        self.region = memoryview(mmap.mmap(file, size))
        return file

    def change(self, kind, fields):
        if kind == "open":
            return self.program.open()
        cache = self.program.slot(fields["index"], fields["generation"])
        if kind == "close":
            del self.program.slots[fields["index"]]
        elif kind == "truncate":
            cut(cache, fields["tokens"])
        elif kind == "fork":
            return self.program.fork(cache, fields["tokens"])
        else:
            raise Refusal(UNIMPLEMENTED, f"[torch] a decoder does not do '{kind}'")
        return {}

    def step(self, blobs):
        table, tokens, at = u32(blobs[0]), u32(blobs[1]), 0
        row, listed, failed = 4 * self.program.vocabulary, array.array("I"), ([], [], [])
        most, before = len(self.region) // row, []
        for i in range(len(table) // 5):
            index, generation, count, want, _ = table[5 * i:5 * i + 5]
            taken, at = tokens[at:at + count], at + count
            if self.stop.is_set():
                for cache, length in before:  # every slot is as it was
                    cut(cache, length)
                raise Refusal(CANCELLED, "[torch] stopped")
            try:
                cache = self.program.slot(index, generation)
                if any(cache is other for other, _ in before):
                    raise Refusal(INVALID_ARGUMENT, "[torch] a slot is stepped once in a step")
                before.append((cache, cache.get_seq_length()))
                logits = self.program.append(cache, taken, want == 2)
            except Exception as problem:  # noqa: BLE001 - that slot's failure
                failed[0].append(i)
                failed[1].append(getattr(problem, "code", RESOURCE_EXHAUSTED if isinstance(problem, MemoryError) else INTERNAL))
                failed[2].append(str(problem))
                continue
            if want == 0:
                continue
            values = logits.numpy()
            for k in range(len(values)):
                if len(listed) // 2 == most:
                    self.channel.send("rows", [listed.tobytes()], id=self.id, more=True, acknowledge=True)
                    self.acknowledged.get()
                    listed = array.array("I")
                place = len(listed) // 2 * row
                self.region[place:place + row] = values[k].tobytes()
                listed.extend([i, k if want == 2 else count - 1])
        answer = dict(zip(("failed_inputs", "failed_codes", "failed_texts"), failed)) if failed[0] else {}
        self.channel.send("done", [listed.tobytes()], id=self.id, **answer, **self.program.capacity())

    def encode(self, fields, blobs):
        table, tokens, at = u32(blobs[0]), u32(blobs[1]), 0
        for i in range(len(table) // 2):
            self.program.check(i, tokens[at:at + table[2 * i]])
            at += table[2 * i]
        at = 0
        for i in range(len(table) // 2):
            if self.stop.is_set():
                raise Refusal(CANCELLED, "[torch] stopped")
            matrix = self.program.run(tokens[at:at + table[2 * i]], table[2 * i + 1], fields["output"])
            at += table[2 * i]
            self.channel.send("matrix", [matrix.numpy().tobytes()], id=self.id, more=True, input=i, rows=matrix.shape[0], columns=matrix.shape[1])
        self.channel.send("done", id=self.id)


def probe():
    """What torch can do here: every device that is listed multiplied two matrices."""
    import torch
    import transformers
    names = [("cpu", 0, "cpu")] + [("cuda", i, torch.cuda.get_device_name(i)) for i in range(torch.cuda.device_count())]
    if getattr(torch.backends, "mps", None) and torch.backends.mps.is_available():
        names.append(("mps", 0, "mps"))
    devices = []
    for kind, index, name in names:
        try:
            a = torch.ones(64, 64, device=f"{kind}:{index}" if kind != "cpu" else "cpu")
            if float((a @ a).sum()) != 64.0 ** 3:
                continue
            memory = torch.cuda.get_device_properties(index).total_memory if kind == "cuda" else 0
            devices.append({"kind": kind, "index": index, "name": name, "memory_bytes": memory})
        except Exception as problem:  # noqa: BLE001 - a device that fails is not listed
            print(f"{kind}:{index}: {problem}", file=sys.stderr)
    rocm = getattr(torch.version, "hip", None)
    print(json.dumps({"torch": torch.__version__, "transformers": transformers.__version__, "rocm": rocm or "", "devices": devices}))


if __name__ == "__main__":
    probe() if sys.argv[1:] == ["--probe"] else Server().serve()
