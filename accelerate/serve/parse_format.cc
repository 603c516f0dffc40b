#include "accelerate/serve/parse_format.h"

#include <fmt/format.h>

namespace accelerate {
namespace {

// The name, the strictness and the schema of a json_schema; the schema itself is the engine's to judge.
void read_json_schema(Fields& fields, std::string_view text, std::optional<Grammar>& grammar) {
  std::string name, description;
  bool strict = false;
  fields.string("name", name);
  if (fields.find("name") == nullptr) fields.fail(missing_parameter(fields.path("name")));
  else if (!is_api_name(name)) {
    fields.fail(invalid_value(fields.path("name"), fmt::format("is 1 to {} of a-z, A-Z, 0-9, _ and -", kNameCharactersMax),
                              fmt::format("\"{}\"", name.substr(0, kNameCharactersMax + 1))));
  }
  fields.string("description", description);
  fields.boolean("strict", strict);
  const Json* schema = fields.find("schema");
  if (schema == nullptr) fields.fail(missing_parameter(fields.path("schema")));
  else if (!schema->is_object()) fields.fail(invalid_type(fields.path("schema"), "an object", *schema));
  if (!fields.problem()) grammar = Grammar{Grammar::Kind::kJsonSchema, std::string(json_member_text(text, {"schema"}))};
}

void read_response_format(Fields& fields, std::string_view body, std::optional<Grammar>& grammar) {
  const Json* value = fields.find("response_format");
  if (value == nullptr) return;
  if (!value->is_object()) return fields.fail(invalid_type("response_format", "an object", *value));
  Fields format(*value, "response_format.");
  read_format_object(format, json_member_text(body, {"response_format"}), "json_schema", grammar);
  if (format.problem()) fields.fail(*format.problem());
}

void read_grammar(Fields& fields, std::string_view body, std::optional<Grammar>& grammar) {
  const Json* value = fields.find("grammar");
  if (value == nullptr) return;
  if (value->is_string()) {
    grammar = Grammar{Grammar::Kind::kLark, value->get<std::string>()};
    return;
  }
  if (!value->is_object()) return fields.fail(invalid_type("grammar", "a string or an object", *value));
  Fields form(*value, "grammar.");
  std::string type;
  form.string("type", type);
  const Json* content = form.find("value");
  if (form.find("type") == nullptr) form.fail(missing_parameter("grammar.type"));
  else if (type != "lark" && type != "regex" && type != "json_schema") {
    form.fail(invalid_value("grammar.type", "is \"lark\", \"regex\" or \"json_schema\"", fmt::format("\"{}\"", type.substr(0, 40))));
  }
  if (content == nullptr) form.fail(missing_parameter("grammar.value"));
  if (form.problem()) return fields.fail(*form.problem());
  if (type == "json_schema") {
    if (!content->is_object()) return fields.fail(invalid_type("grammar.value", "an object", *content));
    grammar = Grammar{Grammar::Kind::kJsonSchema, std::string(json_member_text(body, {"grammar", "value"}))};
  } else {
    if (!content->is_string()) return fields.fail(invalid_type("grammar.value", "a string", *content));
    grammar = Grammar{type == "lark" ? Grammar::Kind::kLark : Grammar::Kind::kRegex, content->get<std::string>()};
  }
}

}  // namespace

void read_format_object(Fields& format, std::string_view text, std::string_view inside, std::optional<Grammar>& grammar) {
  std::string type;
  format.string("type", type);
  if (format.find("type") == nullptr) return format.fail(missing_parameter(format.path("type")));
  if (type == "text" || format.problem()) return;
  if (type == "json_object") {
    grammar = Grammar{Grammar::Kind::kJsonSchema, R"({"type":"object"})"};
  } else if (type != "json_schema") {
    format.fail(invalid_value(format.path("type"), "is \"text\", \"json_object\" or \"json_schema\"", fmt::format("\"{}\"", type.substr(0, 40))));
  } else if (inside.empty()) {
    read_json_schema(format, text, grammar);
  } else {
    const Json* value = format.find(inside);
    const std::string path = format.path(inside);
    if (value == nullptr) return format.fail(missing_parameter(path));
    if (!value->is_object()) return format.fail(invalid_type(path, "an object", *value));
    Fields schema(*value, path + ".");
    read_json_schema(schema, json_member_text(text, {inside}), grammar);
    if (schema.problem()) format.fail(*schema.problem());
  }
}

void read_format(Fields& fields, std::string_view body, std::optional<Grammar>& grammar) {
  std::optional<Grammar> formatted, extended;
  read_response_format(fields, body, formatted);
  read_grammar(fields, body, extended);
  if (formatted && extended) return fields.fail(invalid_value("grammar", "and a 'response_format' other than text exclude each other", "both"));
  grammar = formatted ? std::move(formatted) : std::move(extended);
}

}  // namespace accelerate
