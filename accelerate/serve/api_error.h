// ApiError - a refusal as OpenAI's clients read it: status, message, type, param, code.
//
//   Parsed<ChatRequest> parsed = parse_chat(body);
//   if (!parsed.ok()) send(parsed.error().status, error_json(parsed.error()));
//   else use(*parsed);
//
// Plain values.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "accelerate/base/check.h"
#include "accelerate/base/result.h"

namespace accelerate {

struct ApiError {
  int status = 400;
  std::string message;
  std::string type = "invalid_request_error";
  std::string param;       // the parameter at fault; empty = null
  std::string code;        // "model_not_found"; empty = null
  int retry_after_s = 0;   // > 0 = the Retry-After header
};

/// What an engine error is at this door. `prompt_param` names the parameter that held the prompt: a prompt beyond the
/// context is OpenAI's context_length_exceeded there.
ApiError api_error(const Error& error, std::string_view prompt_param = "");

/// {"error":{"message":...,"type":...,"param":...,"code":...}}
std::string error_json(const ApiError& error);

/// For refusals that have a status only.
ApiError api_error_of_status(int status, std::string_view message);

template <class T>
class [[nodiscard]] Parsed {
 public:
  Parsed(T value) : state_(std::in_place_index<0>, std::move(value)) {}           // NOLINT: implicit on purpose
  Parsed(ApiError error) : state_(std::in_place_index<1>, std::move(error)) {}    // NOLINT
  bool ok() const { return state_.index() == 0; }
  T& operator*() { CHECK(ok(), "the value of a refused request"); return *std::get_if<0>(&state_); }
  T* operator->() { return &**this; }
  const ApiError& error() const { CHECK(!ok(), "error() of a parsed request"); return *std::get_if<1>(&state_); }

 private:
  std::variant<T, ApiError> state_;
};

}  // namespace accelerate
