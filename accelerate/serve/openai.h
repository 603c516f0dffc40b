// OpenAiDoor - the handlers of OpenAI's routes: parse, ask the engine, write.
//
//   OpenAiDoor door(models);
//   door.chat(request, responder);
//
// A streamed answer begins with its first token, so what fails before that still has a proper status; what fails after
// it is an event {"error": ...} and the end of the stream, without "[DONE]". Thread-safe; throws nothing of its own.
#pragma once

#include <string>
#include <string_view>

#include "accelerate/net/http.h"
#include "accelerate/serve/api_error.h"
#include "accelerate/serve/server.h"

namespace accelerate {

inline constexpr std::string_view kTargetHeader = "ipfs-accelerate-target";

/// How an answer went for a client that still listens: a cancelled one was ended by the server's side.
Result<Reply> whole_or_error(const Result<Reply>& result);

/// A ResponseWriter with the headers that every answer here has.
struct Responder {
  ResponseWriter& writer;
  std::string request_id;
  std::string client = {};         // whose key it was; empty = nobody's
  std::string* model = nullptr;    // told the model's name, for the access log; may be null

  /// The request as the engine knows it, for this client and under this id.
  void mark(Request& request, const EndpointInfo& endpoint) const;
  /// For routes without a Request: what the access log says of the model.
  void note_model(const EndpointInfo& endpoint) const {
    if (model != nullptr) *model = endpoint.name;
  }

  bool json(std::string_view body, HttpHeaders more = {}) const;
  bool fail(const ApiError& error, HttpHeaders more = {}) const;
  bool begin_events(std::string_view target) const;
};

class OpenAiDoor {
 public:
  explicit OpenAiDoor(ModelSource models) : models_(std::move(models)) {}

  void list_models(const Responder& to) const;
  void show_model(std::string_view name, const Responder& to) const;
  void chat(std::string_view body, const Responder& to) const;
  void completion(std::string_view body, const Responder& to) const;
  void embeddings(std::string_view body, const Responder& to) const;

 private:
  Parsed<std::shared_ptr<Endpoint>> find(const std::string& name) const;
  ModelSource models_;
};

}  // namespace accelerate
