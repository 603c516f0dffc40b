// Ids of a few tokens in a tokenizer.json, without building a tree of it (the largest are 30 MB).
//
//   ACC_TRY(auto ids, find_token_ids(text, {"<s>", "</s>"}));
//
// Reads events until every wanted token was seen: usually just the list of added tokens at the file's beginning.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "accelerate/base/result.h"

namespace accelerate {

/// Token -> id for those of `wanted` that are among the added tokens or in the vocabulary (added tokens win). data_loss
/// for broken JSON before the last one was found; the rest of the file is not looked at.
Result<std::map<std::string, uint32_t>> find_token_ids(std::string_view tokenizer_json, const std::set<std::string>& wanted);

}  // namespace accelerate
