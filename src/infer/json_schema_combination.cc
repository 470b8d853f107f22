#include "infer/json_schema_combination.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

namespace starling {
namespace {

using Json = nlohmann::ordered_json;

// Restrict what is valid, in ways that a grammar of prefixes cannot keep, or that are not made yet.
constexpr const char* kRefused[] = {"not",
                                    "if",
                                    "then",
                                    "else",
                                    "dependentRequired",
                                    "contains",
                                    "minContains",
                                    "maxContains",
                                    "dependencies",
                                    "dependentSchemas",
                                    "$dynamicRef",
                                    "$recursiveRef",
                                    "unevaluatedItems"};
constexpr const char* kRestricting[] = {"type",
                                        "enum",
                                        "const",
                                        "properties",
                                        "required",
                                        "additionalProperties",
                                        "patternProperties",
                                        "items",
                                        "prefixItems",
                                        "minItems",
                                        "maxItems",
                                        "uniqueItems",
                                        "propertyNames",
                                        "minProperties",
                                        "maxProperties",
                                        "minLength",
                                        "maxLength",
                                        "pattern",
                                        "format",
                                        "minimum",
                                        "maximum",
                                        "exclusiveMinimum",
                                        "exclusiveMaximum",
                                        "multipleOf",
                                        "anyOf",
                                        "oneOf",
                                        "allOf",
                                        "$ref",
                                        "additionalItems"};

constexpr size_t kMaxMergedBytes = size_t{64} << 20;

// Of memory, about.
size_t bytes_of(const Json& json) {
  size_t bytes = sizeof(Json) + (json.is_string() ? json.get_ref<const std::string&>().size() : 0);
  if (json.is_structured())
    for (const auto& [key, value] : json.items()) bytes += key.size() + bytes_of(value);
  return bytes;
}

Json merged_keyword(const std::string& key, const Json& a, const Json& b, const std::string& where) {
  const bool numbers = a.is_number() && b.is_number();
  if (numbers && (key == "minimum" || key == "exclusiveMinimum" || key.starts_with("min"))) return std::max(a, b);
  if (numbers && (key == "maximum" || key == "exclusiveMaximum" || key.starts_with("max"))) return std::min(a, b);
  Json result;
  if (key == "required" || key == "enum" || key == "type") {
    const Json left = a.is_array() ? a : Json::array({a}), right = b.is_array() ? b : Json::array({b});
    const std::set<Json> in_left(left.begin(), left.end()), in_right(right.begin(), right.end());
    result = key == "required" ? left : Json::array();
    if (key == "required") {
      for (const Json& item : right)
        if (!in_left.contains(item)) result.push_back(item);
      return result;
    }
    for (const Json& item : left)
      if (in_right.contains(item)) result.push_back(item);
    if (!result.empty()) return result;
  } else if (key == "properties" && a.is_object() && b.is_object()) {
    result = a;
    for (const auto& [name, schema] : b.items())
      result[name] = result.contains(name) ? Json{{"allOf", Json::array({result[name], schema})}} : schema;
    return result;
  }
  throw schema_refused(where, fmt::format("two different values of `{}` cannot be combined", key));
}

// What `a` says of additional properties holds for those that `b` alone declares.
bool closes_out(const Json& a, const Json& b) {
  const auto properties = [](const Json& schema) {
    return schema.contains("properties") ? schema["properties"] : Json::object();
  };
  const bool closed = a.contains("additionalProperties") && a["additionalProperties"] != true;
  return closed && !properties(b).empty() && properties(a) != properties(b);
}

// Different types, different constants, or objects that differ so in a required property.
bool exclude_each_other(const Json& a, const Json& b) {
  if (!a.is_object() || !b.is_object()) return a == false || b == false;
  const auto constants = [](const Json& s) {
    return s.contains("const") ? Json::array({s["const"]}) : s.contains("enum") ? s["enum"] : Json();
  };
  const Json ca = constants(a), cb = constants(b);
  if (ca.is_array() && cb.is_array()) {
    const std::set<Json> others(cb.begin(), cb.end());
    return std::none_of(ca.begin(), ca.end(), [&](const Json& value) { return others.contains(value); });
  }
  if (a.contains("type") && b.contains("type") && a["type"].is_string() && b["type"].is_string() &&
      a["type"] != b["type"]) {
    const std::string ta = a["type"], tb = b["type"];
    return !((ta == "integer" && tb == "number") || (ta == "number" && tb == "integer"));
  }
  // Where an object is not the only type, a value of another one may satisfy both.
  const auto is_object = [](const Json& s) { return !s.contains("type") || s["type"] == "object"; };
  if (!is_object(a) || !is_object(b) || !a.contains("properties") || !b.contains("properties")) return false;
  const auto requires_name = [](const Json& s, const std::string& name) {
    return s.contains("required") && std::find(s["required"].begin(), s["required"].end(), name) != s["required"].end();
  };
  for (const auto& [name, schema] : a["properties"].items())
    if (b["properties"].contains(name) && requires_name(a, name) && requires_name(b, name) &&
        exclude_each_other(schema, b["properties"][name]))
      return true;
  return false;
}

// A $ref is a URI: a name such as List<Post> is written with escapes there.
std::string percent_decoded(const std::string& text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned char byte = 0;
    const char* end = text.data() + std::min(i + 3, text.size());
    if (text[i] == '%' && std::from_chars(text.data() + i + 1, end, byte, 16).ptr == text.data() + i + 3) i += 2;
    else byte = static_cast<unsigned char>(text[i]);
    decoded += static_cast<char>(byte);
  }
  return decoded;
}

}  // namespace

ConfigError schema_refused(const std::string& where, std::string_view why) {
  return ConfigError(fmt::format("schema at {}: {}", where, why));
}

bool is_restricting(std::string_view keyword) {
  return std::find(std::begin(kRestricting), std::end(kRestricting), keyword) != std::end(kRestricting);
}

bool has_restriction(const Json& schema) {
  return std::any_of(std::begin(kRestricting), std::end(kRestricting),
                     [&](const char* key) { return schema.contains(key); });
}

void check_keywords(const Json& schema, const std::string& where) {
  for (const char* keyword : kRefused)
    if (schema.contains(keyword)) throw schema_refused(where, fmt::format("`{}` is not supported", keyword));
  if (schema.contains("unevaluatedProperties") && schema["unevaluatedProperties"] != false)
    throw schema_refused(where, "`unevaluatedProperties` is supported only as false");
}

const Json& SchemaCombiner::target_of(const Json& reference, const std::string& where) const {
  if (!reference.is_string()) throw schema_refused(where, "`$ref` is a string");
  const std::string text = reference.get<std::string>();
  if (text.empty() || text[0] != '#')
    throw schema_refused(where, "`$ref` may only point into this schema (\"#/$defs/name\")");
  try {
    const Json::json_pointer pointer(percent_decoded(text.substr(1)));
    if (root_.contains(pointer)) return root_.at(pointer);
  } catch (const Json::exception&) {
  }
  throw schema_refused(where, fmt::format("`$ref` \"{}\" points to nothing", text));
}

Json SchemaCombiner::merged_all(const Json& schema, const std::string& where) {
  grammar_.check_time();
  if (++merging_ > kMaxSchemaNesting) throw schema_refused(where, "`$ref` and `allOf` lead back to themselves");
  Json result = schema;
  result.erase("$ref");
  result.erase("allOf");
  const auto add = [&](const Json& part) {
    if (part.is_boolean() && part.get<bool>()) return;
    if (!part.is_object()) throw schema_refused(where, "`allOf` combines objects only");
    check_keywords(part, where);
    result = merged(result, part.contains("$ref") || part.contains("allOf") ? merged_all(part, where) : part, where);
  };
  if (schema.contains("$ref")) add(target_of(schema["$ref"], where));
  if (schema.contains("allOf")) {
    if (!schema["allOf"].is_array()) throw schema_refused(where, "`allOf` is a list");
    for (const Json& part : schema["allOf"]) add(part);
  }
  --merging_;
  return result;
}

Json SchemaCombiner::merged(Json a, const Json& b, const std::string& where) {
  if (!b.is_object()) return b == true ? a : b;
  merged_bytes_ += bytes_of(a) + bytes_of(b);
  if (merged_bytes_ > kMaxMergedBytes)
    throw schema_refused(where, "it is too large when `$ref`, `allOf`, `anyOf` and `oneOf` are combined");
  if (closes_out(a, b) || closes_out(b, a))
    throw schema_refused(where, "`additionalProperties` cannot be combined with another schema's `properties`");
  for (const auto& [key, value] : b.items()) {
    if (!a.contains(key)) a[key] = value;
    else if (is_restricting(key) && a[key] != value) a[key] = merged_keyword(key, a[key], value, where);
  }
  return a;
}

Json SchemaCombiner::resolved(const Json& schema, const std::string& where) {
  return schema.is_object() && (schema.contains("$ref") || schema.contains("allOf")) ? merged_all(schema, where)
                                                                                     : schema;
}

void SchemaCombiner::check_exclusive(const std::vector<Json>& branches, const std::string& where) {
  std::vector<Json> whole;
  for (const Json& branch : branches) whole.push_back(resolved(branch, where));
  for (size_t i = 0; i < branches.size(); ++i)
    for (size_t j = 0; j < i; grammar_.check_time(), ++j)
      if (!exclude_each_other(whole[i], whole[j]))
        throw schema_refused(
            where, fmt::format("`oneOf`: a value might satisfy both branch {} and branch {}; use anyOf, or give "
                               "both a required property with different constants",
                               j, i));
}

}  // namespace starling
