#include "accelerate/serve/parse_rerank.h"

#include <array>
#include <limits>

#include <fmt/format.h>

#include "accelerate/serve/json_body.h"

namespace accelerate {
namespace {

constexpr int64_t kCountMax = std::numeric_limits<int32_t>::max();

constexpr std::array kRerankRefusals = {
    Refusal{"max_chunks_per_doc", nullptr, "a document is one piece; 'max_tokens_per_doc' or 'truncate' cut it"},
    Refusal{"rank_fields", nullptr, "a document is a text"},
    Refusal{"truncate_prompt_tokens", nullptr, "'max_tokens_per_doc' or 'truncate' cut documents, never the query"},
    Refusal{"truncation", is_false, "its name here is 'truncate'"},
};

// Texts, or objects with a text.
void read_documents(Fields& fields, std::vector<std::string>& documents) {
  const Json* list = fields.find("documents");
  if (list == nullptr) return fields.fail(missing_parameter("documents"));
  if (!list->is_array()) return fields.fail(invalid_type("documents", "a list of documents", *list));
  if (list->empty() || list->size() > kRerankDocumentsMax) {
    return fields.fail(invalid_value("documents", fmt::format("has 1 to {} documents", kRerankDocumentsMax), std::to_string(list->size())));
  }
  for (size_t i = 0; i < list->size(); ++i) {
    const Json& entry = (*list)[i];
    const std::string path = fmt::format("documents[{}]", i);
    std::string& text = documents.emplace_back();
    if (entry.is_string()) {
      text = entry.get<std::string>();
    } else if (entry.is_object()) {
      Fields document(entry, path + ".");
      document.string("text", text);
      if (document.find("text") == nullptr) document.fail(missing_parameter(path + ".text"));
      if (document.problem()) return fields.fail(*document.problem());
    } else {
      return fields.fail(invalid_type(path, "a string or an object with 'text'", entry));
    }
  }
}

}  // namespace

Parsed<RerankRequest> parse_rerank(std::string_view text) {
  Parsed<Json> body = parse_body(text);
  if (!body.ok()) return body.error();
  Fields fields(*body);
  RerankRequest out;
  fields.string("model", out.model);
  fields.string("query", out.input.query);
  if (out.input.query.empty()) fields.fail(missing_parameter("query"));
  read_documents(fields, out.input.documents);
  fields.integer("top_n", {.low = 1, .high = kCountMax}, out.top_n);
  fields.boolean("return_documents", out.return_documents);
  fields.integer("max_tokens_per_doc", {.low = 1, .high = kCountMax}, out.input.document_tokens_max);
  fields.boolean("truncate", out.input.truncate);
  std::string method = "cross_encoder";
  fields.string("method", method);
  if (method != "cross_encoder" && method != "embeddings") {
    fields.fail(invalid_value("method", "is \"cross_encoder\" or \"embeddings\"", fmt::format("\"{}\"", method.substr(0, 40))));
  }
  out.by_embeddings = method == "embeddings";
  refuse(fields, kRerankRefusals);
  if (fields.problem()) return *fields.problem();
  return out;
}

}  // namespace accelerate
