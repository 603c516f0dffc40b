"""GGUF files as Transformers models, over the file's exactly dequantized weights. The torch worker loads with it, and so does
the oracle that makes goldens (tools/fixtures/oracle.py).

    model = from_gguf(path)          a LlamaForCausalLM or Gemma3ForCausalLM in float32

Only names and layouts are translated here. Two of them matter:
  llama   GGUF keeps the rows of q and k for interleaved rope (pairs 2i, 2i+1); Transformers rotates halves
          (i, i + n/2). Row 2i+s of a head in the file is row s*n/2+i there.
  gemma3  GGUF norms hold 1 + weight; Transformers adds the 1 itself, so it is taken off (exact to 1 ulp).
          Layers where (i + 1) % 6 != 0 are local: window from the file, rope base 10000. Others use the file's base.
          Scores are scaled by 1 / sqrt(head width), embeddings multiplied by sqrt(hidden).
"""
import gguf
import numpy as np
import torch
import transformers
from gguf.quants import dequantize

LAYER_NAMES = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
               "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj",
               "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
LLAMA_NAMES = LAYER_NAMES | {"ffn_norm": "post_attention_layernorm"}
GEMMA_NAMES = LAYER_NAMES | {"ffn_norm": "pre_feedforward_layernorm", "post_attention_norm": "post_attention_layernorm",
                             "post_ffw_norm": "post_feedforward_layernorm", "attn_q_norm": "self_attn.q_norm",
                             "attn_k_norm": "self_attn.k_norm"}
TOP_NAMES = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
             "output.weight": "lm_head.weight"}


class File:
    """A GGUF's keys and tensors: `file["key"]`, `file.tensors()`."""

    def __init__(self, path):
        self.reader = gguf.GGUFReader(str(path))
        self.architecture = self["general.architecture"]

    def __getitem__(self, key):
        return self.reader.fields[key].contents()

    def get(self, key, default=None):
        """The value of `key`, or `default`."""
        return self[key] if key in self.reader.fields else default

    def size(self, name):
        """An architecture's own key, such as size("block_count")."""
        return self[f"{self.architecture}.{name}"]

    def tensors(self):
        """Yields (name, float32 array in row-major shape)."""
        for tensor in self.reader.tensors:
            shape = tuple(int(n) for n in reversed(tensor.shape))
            yield tensor.name, dequantize(tensor.data, tensor.tensor_type).reshape(shape)


def half_split(rows, heads):
    """Interleaved rope rows (GGUF llama) -> half-split rows (Transformers)."""
    width = rows.shape[0] // heads
    return rows.reshape(heads, width // 2, 2, -1).swapaxes(1, 2).reshape(rows.shape)


def translate(file, names):
    """All tensors under Transformers' names, as torch float32."""
    state = {}
    for name, value in file.tensors():
        if name in TOP_NAMES:
            target = TOP_NAMES[name]
        else:
            _, layer, part, _ = name.split(".")
            target = f"model.layers.{layer}.{names[part]}.weight"
            if file.architecture == "llama" and part in ("attn_q", "attn_k"):
                value = half_split(value, file.size("attention.head_count" + ("_kv" if part == "attn_k" else "")))
        if file.architecture == "gemma3" and "norm" in target:
            value = value - np.float32(1)
        state[target] = torch.from_numpy(np.array(value))
    return state


def common_config(file, tied, attention):
    """The configuration values both families share."""
    return {"vocab_size": len(file["tokenizer.ggml.tokens"]), "hidden_size": file.size("embedding_length"),
            "num_hidden_layers": file.size("block_count"), "num_attention_heads": file.size("attention.head_count"),
            "num_key_value_heads": file.size("attention.head_count_kv"),
            "intermediate_size": file.size("feed_forward_length"),
            "rms_norm_eps": file.size("attention.layer_norm_rms_epsilon"),
            "max_position_embeddings": file.size("context_length"), "tie_word_embeddings": tied,
            "attn_implementation": attention, "pad_token_id": None,
            "bos_token_id": file["tokenizer.ggml.bos_token_id"], "eos_token_id": file["tokenizer.ggml.eos_token_id"]}


def llama_config(file, tied, attention):
    """LlamaConfig from GGUF keys."""
    rope = {"rope_type": "default", "rope_theta": file.size("rope.freq_base")}
    return transformers.LlamaConfig(**common_config(file, tied, attention), rope_parameters=rope,
                                    head_dim=file.size("rope.dimension_count"))


def gemma_config(file, tied, attention):
    """Gemma3TextConfig from GGUF keys."""
    rope = {"sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            "full_attention": {"rope_type": "default", "rope_theta": file.size("rope.freq_base")}}
    head = file.size("attention.key_length")
    return transformers.Gemma3TextConfig(**common_config(file, tied, attention), rope_parameters=rope, head_dim=head,
                                         query_pre_attn_scalar=head,
                                         sliding_window=file.size("attention.sliding_window"))


def from_gguf(path, attention="eager"):
    """Builds the model of a llama or gemma3 GGUF."""
    file = File(path)
    if file.architecture not in ("llama", "gemma3"):
        raise ValueError(f"GGUF files of llama and gemma3 are translated; got {file.architecture}")
    llama = file.architecture == "llama"
    state = translate(file, LLAMA_NAMES if llama else GEMMA_NAMES)
    tied = "lm_head.weight" not in state
    config = (llama_config if llama else gemma_config)(file, tied, attention)
    model = (transformers.LlamaForCausalLM if llama else transformers.Gemma3ForCausalLM)(config)
    missing, unexpected = model.load_state_dict(state, strict=False)
    if unexpected or not set(missing) <= ({"lm_head.weight"} if tied else set()):
        raise ValueError(f"the file's tensors are not the model's: missing {missing}, unexpected {unexpected}")
    model.tie_weights()
    return model.float().eval()
