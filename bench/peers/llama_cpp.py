#!/usr/bin/env python3
"""Paired run against llama.cpp built without AMX: same weights, same threads, the two in turn, round by round.

    python3 bench/peers/llama_cpp.py [--rounds 7] [--prompt 512] [--generate 128] [--output bench/results/NAME.json]   # and NAME.md

The peer is built once from the source package llama-cpp-python into the cache (about 6 minutes on 2 cores). Its Q4_0 and
Q8_0 files are made from the default model's Q4_1 by its own llama-quantize, so both engines read the same bytes.
Ratios are taken round by round; the table shows median and spread.
"""
import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tarfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "ipfs-accelerate"
PACKAGE = "llama-cpp-python==0.3.36"
OURS = ROOT / "build/release/ipfs-accelerate"
CMAKE_FLAGS = [
    "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_C_COMPILER=clang-19", "-DCMAKE_CXX_COMPILER=clang++-19",
    "-DGGML_NATIVE=OFF", "-DGGML_AVX=ON", "-DGGML_AVX2=ON", "-DGGML_FMA=ON", "-DGGML_F16C=ON", "-DGGML_BMI2=ON",
    "-DLLAMA_CURL=OFF", "-DLLAMA_OPENSSL=OFF", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF",
]
AVX512_FLAGS = ["-DGGML_AVX512=ON", "-DGGML_AVX512_VBMI=ON", "-DGGML_AVX512_VNNI=ON", "-DGGML_AVX512_BF16=ON"]


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, text=True, **options)


def cpu_flags():
    return pathlib.Path("/proc/cpuinfo").read_text().split("flags", 1)[1].split("\n", 1)[0].split()


def build_peer():
    """Folder with llama-bench and llama-quantize."""
    folder = CACHE / "peers/llama.cpp"
    if (folder / "build/bin/llama-bench").exists() and (folder / "build/bin/llama-quantize").exists():
        return folder / "build/bin"
    folder.mkdir(parents=True, exist_ok=True)
    run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", PACKAGE, "-d", folder)
    archive = next(folder.glob("llama_cpp_python-*.tar.gz"))
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data") if hasattr(tarfile, "data_filter") else opened.extractall(folder)
    archive.unlink()
    source = next(folder.glob("llama_cpp_python-*/vendor/llama.cpp"))
    wide = AVX512_FLAGS if "avx512_bf16" in cpu_flags() else []
    run("cmake", "-S", source, "-B", folder / "build", *CMAKE_FLAGS, *wide)
    run("ninja", "-C", folder / "build", "llama-bench", "llama-quantize")
    return folder / "build/bin"


def make_files(peer):
    """{format: path}: Q4_1 as published, the others made from it."""
    data = pathlib.Path(os.environ.get("XDG_DATA_HOME", pathlib.Path.home() / ".local/share")) / "ipfs-accelerate/models"
    run(OURS, "pull", "smollm2", stdout=subprocess.DEVNULL)
    source = next((data / "smollm2").glob("*.gguf"))
    files = {"Q4_1": source}
    for name in ("Q4_0", "Q8_0"):
        target = CACHE / f"peers/smollm2-{name}.gguf"
        if not target.exists():
            partial = target.with_suffix(".partial")
            run(peer / "llama-quantize", "--allow-requantize", "--token-embedding-type", "q8_0", source, partial, name,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            partial.rename(target)
        files[name] = target
    return files


def peer_round(peer, path, options):
    out = run(peer / "llama-bench", "-m", path, "-t", options.threads, "-p", options.prompt, "-n", options.generate, "-r", 1,
              "-o", "json", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    rows = json.loads(out)
    prefill = next(row["avg_ts"] for row in rows if row["n_prompt"] and not row["n_gen"])
    decode = next(row["avg_ts"] for row in rows if row["n_gen"] and not row["n_prompt"])
    return {"prefill": prefill, "decode": decode}


def our_round(path, options):
    # The peer decodes from an empty context, so we do: a prompt of 1 for decode, the whole prompt for prefill.
    def bench(prompt, generate):
        out = run(OURS, "bench", path, "--prompt", prompt, "--generate", generate, "--rounds", 1, "--threads", options.threads,
                  "--json", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        return json.loads(out)
    return {"prefill": bench(options.prompt, 1)["prefill_tokens_per_s"],
            "decode": bench(1, options.generate)["decode_tokens_per_s"]}


def summary(samples):
    return {"median": statistics.median(samples), "min": min(samples), "max": max(samples), "samples": samples}


def compare(peer, path, options):
    ours, theirs = [], []
    for _ in range(options.rounds):
        ours.append(our_round(path, options))
        theirs.append(peer_round(peer, path, options))
    result = {}
    for what in ("prefill", "decode"):
        a, b = [r[what] for r in ours], [r[what] for r in theirs]
        result[what] = {"ours": summary(a), "peer": summary(b), "ratio": summary([x / y for x, y in zip(a, b)])}
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("rounds", 7), ("prompt", 512), ("generate", 128), ("threads", len(os.sched_getaffinity(0)))):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--output", type=pathlib.Path)
    options = parser.parse_args()
    peer = build_peer()
    report = {"date": datetime.date.today().isoformat(), "peer": PACKAGE + " (vendored llama.cpp), clang 19, no AMX",
              "machine": json.loads(run(OURS, "devices", "--json", stdout=subprocess.PIPE).stdout),
              "prompt": options.prompt, "generate": options.generate, "threads": options.threads, "rounds": options.rounds, "results": {}}
    lines = ["| format | what | ours tok/s (min-max) | llama.cpp tok/s (min-max) | ratio (min-max) |", "|---|---|---|---|---|"]
    print("\n".join(lines))
    for name, path in make_files(peer).items():
        report["results"][name] = compare(peer, path, options)
        for what, row in report["results"][name].items():
            cells = [f"{row[k]['median']:.{d}f} ({row[k]['min']:.{d}f}-{row[k]['max']:.{d}f})" for k, d in (("ours", 0), ("peer", 0), ("ratio", 2))]
            lines.append(f"| {name} | {what} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    if options.output:
        options.output.write_text(json.dumps(report, indent=1) + "\n")
        head = (f"# {report['date']}, {report['machine']['cpu']['model']}, {options.threads} threads: against llama.cpp\n\n"
                f"`bench/peers/llama_cpp.py`, SmolLM2-135M, peer {report['peer']}; medians (min-max) of {options.rounds} rounds, the two "
                f"in turn; prefill of {options.prompt} tokens, decode of {options.generate} from an empty context.\n\n")
        options.output.with_suffix(".md").write_text(head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
