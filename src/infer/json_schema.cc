#include "infer/json_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "infer/grammar_regex.h"
#include "infer/json_schema_number.h"

namespace starling {
namespace {

using Json = nlohmann::ordered_json;
using Node = Grammar::Node;

constexpr int kMaxNesting = 64;        // of schemas that are read within each other
constexpr size_t kMaxBranches = 256;   // of one anyOf or oneOf
constexpr size_t kMaxLiterals = 2000;  // of one enum

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

// What a keyword without `type` says the type is. OpenAI's clients leave the type out now and then.
constexpr std::pair<const char*, const char*> kTypeOfKeyword[] = {{"properties", "object"},
                                                                  {"required", "object"},
                                                                  {"additionalProperties", "object"},
                                                                  {"patternProperties", "object"},
                                                                  {"propertyNames", "object"},
                                                                  {"minProperties", "object"},
                                                                  {"maxProperties", "object"},
                                                                  {"items", "array"},
                                                                  {"prefixItems", "array"},
                                                                  {"minItems", "array"},
                                                                  {"maxItems", "array"},
                                                                  {"uniqueItems", "array"},
                                                                  {"pattern", "string"},
                                                                  {"minLength", "string"},
                                                                  {"maxLength", "string"},
                                                                  {"format", "string"},
                                                                  {"minimum", "number"},
                                                                  {"maximum", "number"},
                                                                  {"exclusiveMinimum", "number"},
                                                                  {"exclusiveMaximum", "number"},
                                                                  {"multipleOf", "number"}};

constexpr std::pair<const char*, const char*> kFormats[] = {
    {"date",
     R"(^(19|20)\d\d-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))$)"},
    {"time", R"(^([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$)"},
    {"date-time",
     R"(^(19|20)\d\d-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$)"},
    {"uuid", R"(^[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$)"},
    {"email", R"(^[a-z0-9]{1,32}([._-][a-z0-9]{1,16}){0,3}@[a-z0-9]{1,32}(\.[a-z0-9]{1,16}){0,2}\.[a-z]{2,6}$)"},
    {"ipv4", R"(^((25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)$)"},
    {"hostname", R"(^[a-z0-9]{1,32}(\.[a-z0-9]{1,32}){0,4}$)"}};

const char* type_name(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::boolean:
      return "boolean";
    case Json::value_t::object:
      return "object";
    case Json::value_t::array:
      return "array";
    case Json::value_t::string:
      return "string";
    case Json::value_t::number_float:
      return "number";
    default:
      return "integer";
  }
}

bool has_type(const Json& value, const std::string& type) {
  const std::string own = type_name(value);
  if (own == type || (own == "integer" && type == "number")) return true;
  return type == "integer" && own == "number" && value.get<double>() == std::floor(value.get<double>());
}

bool restricts(const Json& schema) {
  return std::any_of(std::begin(kRestricting), std::end(kRestricting),
                     [&](const char* key) { return schema.contains(key); });
}

class SchemaCompiler {
 public:
  SchemaCompiler(Grammar& grammar, const Json& root) : grammar_(grammar), root_(root) {}

  Node value(Node from, const Json& schema, const std::string& where) {
    if (schema.is_boolean()) return schema.get<bool>() ? grammar_.call(from, any_value()) : grammar_.add_node();
    if (!schema.is_object()) throw refused(where, "a schema is an object, true or false");
    if (++nesting_ > kMaxNesting)
      throw refused(where, fmt::format("schemas are nested deeper than {} levels", kMaxNesting));
    grammar_.check_time();
    check_keywords(schema, where);
    const Node end = dispatch(from, schema, where);
    --nesting_;
    return end;
  }
  Node any_object(Node from) { return free_object(from, any_key(), any_value(), 0, std::nullopt); }

 private:
  static ConfigError refused(const std::string& where, std::string_view why) {
    return ConfigError(fmt::format("schema at {}: {}", where, why));
  }
  void check_keywords(const Json& schema, const std::string& where) const {
    for (const char* keyword : kRefused)
      if (schema.contains(keyword)) throw refused(where, fmt::format("`{}` is not supported", keyword));
    if (schema.contains("unevaluatedProperties") && schema["unevaluatedProperties"] != false)
      throw refused(where, "`unevaluatedProperties` is supported only as false");
  }

  Node dispatch(Node from, const Json& schema, const std::string& where) {
    if (schema.contains("$ref") || schema.contains("allOf")) return combined(from, schema, where);
    if (schema.contains("const")) return literals(from, schema, Json::array({schema["const"]}), where);
    if (schema.contains("enum")) return literals(from, schema, schema["enum"], where);
    for (const char* keyword : {"anyOf", "oneOf"})
      if (schema.contains(keyword)) return alternatives(from, schema, keyword, where);
    const Node end = grammar_.add_node();
    for (const std::string& type : types_of(schema, where))
      grammar_.add_epsilon(of_type(from, type, schema, where), end);
    return end;
  }

  std::vector<std::string> types_of(const Json& schema, const std::string& where) const {
    if (!schema.contains("type")) {
      for (const auto& [keyword, type] : kTypeOfKeyword)
        if (schema.contains(keyword)) return {type};
      return {""};
    }
    const Json list = schema["type"].is_array() ? schema["type"] : Json::array({schema["type"]});
    std::vector<std::string> types;
    for (const Json& type : list) {
      if (!type.is_string()) throw refused(where, "`type` is a string or a list of strings");
      types.push_back(type.get<std::string>());
    }
    if (types.empty()) throw refused(where, "`type` has no entry");
    return types;
  }

  Node of_type(Node from, const std::string& type, const Json& schema, const std::string& where) {
    if (type.empty()) return grammar_.call(from, any_value());
    if (type == "null") return grammar_.literal(from, "null");
    if (type == "boolean") return boolean(from);
    if (type == "string") return string(from, schema, where);
    if (type == "integer" || type == "number") return number(from, schema, type == "integer", where);
    if (type == "object") return object(from, schema, where);
    if (type == "array") return array(from, schema, where);
    throw refused(where, fmt::format("`type` \"{}\" is none of JSON's", type));
  }

  Node boolean(Node from) {
    const Node end = grammar_.literal(from, "true");
    grammar_.add_epsilon(grammar_.literal(from, "false"), end);
    return end;
  }

  // References and combinations.
  const Json& target_of(const Json& reference, const std::string& where) const {
    if (!reference.is_string()) throw refused(where, "`$ref` is a string");
    const std::string text = reference.get<std::string>();
    if (text.empty() || text[0] != '#')
      throw refused(where, "`$ref` may only point into this schema (\"#/$defs/name\")");
    try {
      const Json::json_pointer pointer(text.substr(1));
      if (root_.contains(pointer)) return root_.at(pointer);
    } catch (const Json::exception&) {
    }
    throw refused(where, fmt::format("`$ref` \"{}\" points to nothing", text));
  }

  Node combined(Node from, const Json& schema, const std::string& where) {
    Json rest = schema;
    rest.erase("$ref");
    rest.erase("allOf");
    if (schema.contains("$ref") && !schema.contains("allOf") && !restricts(rest))
      return grammar_.call(from, rule_of_reference(schema["$ref"], where));
    return value(from, merged_all(schema, where), where);
  }

  // A schema without $ref and allOf: their contents are merged into it.
  Json merged_all(const Json& schema, const std::string& where) {
    grammar_.check_time();
    if (++merging_ > kMaxNesting) throw refused(where, "`$ref` and `allOf` lead back to themselves");
    Json result = schema;
    result.erase("$ref");
    result.erase("allOf");
    const auto add = [&](const Json& part) {
      if (part.is_boolean() && part.get<bool>()) return;
      if (!part.is_object()) throw refused(where, "`allOf` combines objects only");
      check_keywords(part, where);
      result = merged(result, part.contains("$ref") || part.contains("allOf") ? merged_all(part, where) : part, where);
    };
    if (schema.contains("$ref")) add(target_of(schema["$ref"], where));
    if (schema.contains("allOf")) {
      if (!schema["allOf"].is_array()) throw refused(where, "`allOf` is a list");
      for (const Json& part : schema["allOf"]) add(part);
    }
    --merging_;
    return result;
  }

  Json merged(Json a, const Json& b, const std::string& where) const {
    const bool closed = a.contains("additionalProperties") || b.contains("additionalProperties");
    if (closed && a.contains("properties") && b.contains("properties") && a["properties"] != b["properties"])
      throw refused(where, "`additionalProperties` cannot be combined with another schema's `properties`");
    for (const auto& [key, value] : b.items()) {
      const bool restricting =
          std::find(std::begin(kRestricting), std::end(kRestricting), key) != std::end(kRestricting);
      if (!a.contains(key)) a[key] = value;
      else if (restricting && a[key] != value) a[key] = merged_keyword(key, a[key], value, where);
    }
    return a;
  }
  Json merged_keyword(const std::string& key, const Json& a, const Json& b, const std::string& where) const {
    const bool numbers = a.is_number() && b.is_number();
    if (numbers && (key == "minimum" || key == "exclusiveMinimum" || key.starts_with("min"))) return std::max(a, b);
    if (numbers && (key == "maximum" || key == "exclusiveMaximum" || key.starts_with("max"))) return std::min(a, b);
    Json result;
    if (key == "required" || key == "enum" || key == "type") {
      const Json left = a.is_array() ? a : Json::array({a}), right = b.is_array() ? b : Json::array({b});
      const auto in = [](const Json& list, const Json& item) {
        return std::find(list.begin(), list.end(), item) != list.end();
      };
      result = key == "required" ? left : Json::array();
      if (key == "required") {
        for (const Json& item : right)
          if (!in(left, item)) result.push_back(item);
        return result;
      }
      for (const Json& item : left)
        if (in(right, item)) result.push_back(item);
      if (!result.empty()) return result;
    } else if (key == "properties" && a.is_object() && b.is_object()) {
      result = a;
      for (const auto& [name, schema] : b.items())
        result[name] = result.contains(name) ? Json{{"allOf", Json::array({result[name], schema})}} : schema;
      return result;
    }
    throw refused(where, fmt::format("two different values of `{}` cannot be combined", key));
  }

  Grammar::Rule rule_of_reference(const Json& reference, const std::string& where) {
    const Json& target = target_of(reference, where);
    return rule_of(reference.get<std::string>(),
                   [&](Node start) { return value(start, target, reference.get<std::string>()); });
  }

  // A rule that is made at its first use and known by its name afterwards, by itself too.
  template <typename Body>
  Grammar::Rule rule_of(const std::string& name, const Body& body) {
    const auto [known, is_new] = rules_.try_emplace(name, 0);
    if (!is_new) return known->second;
    const Grammar::Rule rule = known->second = grammar_.declare_rule();
    const Node start = grammar_.add_node();
    grammar_.define_rule(rule, start, body(start));
    return rule;
  }

  Node alternatives(Node from, const Json& schema, const char* keyword, const std::string& where) {
    const Json& list = schema[keyword];
    if (!list.is_array() || list.empty() || list.size() > kMaxBranches)
      throw refused(where, fmt::format("`{}` is a list of 1 to {} schemas", keyword, kMaxBranches));
    Json common = schema;
    common.erase(keyword);
    std::vector<Json> branches;
    for (const Json& branch : list)
      branches.push_back(restricts(common) ? merged(common, resolved(branch, where), where) : branch);
    if (std::string_view(keyword) == "oneOf") check_exclusive(branches, where);
    const Node end = grammar_.add_node();
    for (size_t i = 0; i < branches.size(); ++i)
      grammar_.add_epsilon(value(from, branches[i], fmt::format("{}/{}/{}", where, keyword, i)), end);
    return end;
  }
  Json resolved(const Json& schema, const std::string& where) {
    return schema.is_object() && (schema.contains("$ref") || schema.contains("allOf")) ? merged_all(schema, where)
                                                                                       : schema;
  }

  void check_exclusive(const std::vector<Json>& branches, const std::string& where) {
    std::vector<Json> whole;
    for (const Json& branch : branches) whole.push_back(resolved(branch, where));
    for (size_t i = 0; i < branches.size(); grammar_.check_time(), ++i)
      for (size_t j = 0; j < i; ++j)
        if (!exclude_each_other(whole[i], whole[j]))
          throw refused(where,
                        fmt::format("`oneOf`: a value might satisfy both branch {} and branch {}; use anyOf, or give "
                                    "both a required property with different constants",
                                    j, i));
  }
  // Different types, different constants, or objects that differ so in a required property.
  static bool exclude_each_other(const Json& a, const Json& b) {
    if (!a.is_object() || !b.is_object()) return a == false || b == false;
    const auto constants = [](const Json& s) {
      return s.contains("const") ? Json::array({s["const"]}) : s.contains("enum") ? s["enum"] : Json();
    };
    const Json ca = constants(a), cb = constants(b);
    if (ca.is_array() && cb.is_array())
      return std::none_of(ca.begin(), ca.end(),
                          [&](const Json& v) { return std::find(cb.begin(), cb.end(), v) != cb.end(); });
    if (a.contains("type") && b.contains("type") && a["type"].is_string() && b["type"].is_string() &&
        a["type"] != b["type"]) {
      const std::string ta = a["type"], tb = b["type"];
      return !((ta == "integer" && tb == "number") || (ta == "number" && tb == "integer"));
    }
    if (!a.contains("properties") || !b.contains("properties")) return false;
    const auto requires_name = [](const Json& s, const std::string& name) {
      return s.contains("required") &&
             std::find(s["required"].begin(), s["required"].end(), name) != s["required"].end();
    };
    for (const auto& [name, schema] : a["properties"].items())
      if (b["properties"].contains(name) && requires_name(a, name) && requires_name(b, name) &&
          exclude_each_other(schema, b["properties"][name]))
        return true;
    return false;
  }

  Node literals(Node from, const Json& schema, const Json& list, const std::string& where) {
    if (!list.is_array() || list.empty() || list.size() > kMaxLiterals)
      throw refused(where, fmt::format("`enum` is a list of 1 to {} values", kMaxLiterals));
    for (const char* keyword : kRestricting) {
      const std::string_view key = keyword;
      if (schema.contains(keyword) && key != "type" && key != "enum" && key != "const" && key != "format")
        throw refused(where, fmt::format("`{}` beside `enum` or `const` is not supported", keyword));
    }
    const Node end = grammar_.add_node();
    const std::vector<std::string> types =
        schema.contains("type") ? types_of(schema, where) : std::vector<std::string>{};
    for (const Json& item : list) {
      const bool fits =
          types.empty() || std::any_of(types.begin(), types.end(), [&](const auto& t) { return has_type(item, t); });
      const bool both = !schema.contains("const") || !schema.contains("enum") ||
                        std::find(schema["enum"].begin(), schema["enum"].end(), item) != schema["enum"].end();
      if (fits && both) grammar_.add_epsilon(grammar_.literal(from, item.dump()), end);
    }
    return end;
  }

  // Strings.
  Grammar::Rule string_character() {
    return rule_of("string character", [&](Node start) {
      const Node end = grammar_.add_node();
      const CharacterSet controls({{0, 8}, {11, 11}, {14, 31}, {127, 159}});
      add_characters(grammar_, start, controls.complement(), end, true);
      return end;
    });
  }
  Node string(Node from, const Json& schema, const std::string& where) {
    const int64_t least = count(schema, "minLength", 0, where);
    std::optional<int64_t> most;
    if (schema.contains("maxLength")) most = count(schema, "maxLength", 0, where);
    from = grammar_.literal(from, "\"");
    std::string pattern = schema.contains("pattern") ? text(schema, "pattern", where) : "";
    if (schema.contains("format"))
      for (const auto& [name, regex] : kFormats) {
        if (schema["format"] != name) continue;
        if (!pattern.empty()) throw refused(where, "`pattern` beside this `format` is not supported");
        pattern = regex;
      }
    Node end;
    if (pattern.empty()) end = repeated(from, string_character(), least, most);
    else end = patterned(from, pattern, least, most, where);
    return grammar_.literal(end, "\"");
  }
  Node patterned(Node from, const std::string& pattern, int64_t least, std::optional<int64_t> most,
                 const std::string& where) {
    try {
      CharacterNfa nfa = parse_regex(pattern);
      if (least > 0 || most) nfa = with_length(nfa, least, most);
      return add_nfa(grammar_, from, nfa, true);
    } catch (const ConfigError& error) {
      throw refused(where, fmt::format("`pattern`: {}", error.what()));
    }
  }
  Node repeated(Node from, Grammar::Rule rule, int64_t least, std::optional<int64_t> most) {
    for (int64_t i = 0; i < least; ++i) from = grammar_.call(from, rule);
    const Node end = grammar_.add_node();
    grammar_.add_epsilon(from, end);
    if (!most) grammar_.add_call(end, rule, end);
    else if (*most < least) return grammar_.add_node();  // nothing
    for (int64_t i = least; most && i < *most; ++i) {
      from = grammar_.call(from, rule);
      grammar_.add_epsilon(from, end);
    }
    return end;
  }

  // Numbers.
  Node number(Node from, const Json& schema, bool whole, const std::string& where) {
    NumberBounds bounds;
    bounds.max_fraction_digits = whole ? 0 : 12;
    const auto bound = [&](const char* keyword) {
      if (!schema[keyword].is_number()) throw refused(where, fmt::format("`{}` is a number", keyword));
      return parse_decimal(schema[keyword].dump());
    };
    const auto both = [&](const char* plain, const char* exclusive, std::optional<Decimal>& value, bool& is_exclusive) {
      if (schema.contains(plain)) value = bound(plain);
      if (!schema.contains(exclusive)) return;
      if (schema.contains(plain))
        throw refused(where, fmt::format("`{}` beside `{}` is not supported", exclusive, plain));
      value = bound(exclusive);
      is_exclusive = true;
    };
    both("minimum", "exclusiveMinimum", bounds.least, bounds.least_exclusive);
    both("maximum", "exclusiveMaximum", bounds.most, bounds.most_exclusive);
    if (schema.contains("multipleOf")) set_multiple(schema["multipleOf"], bounds, where);
    return append_number(grammar_, from, bounds);
  }
  static void set_multiple(const Json& value, NumberBounds& bounds, const std::string& where) {
    constexpr int kMost = 100;
    if (value.is_number_integer() && value.get<int64_t>() >= 1 && value.get<int64_t>() <= kMost) {
      bounds.multiple_of = static_cast<int>(value.get<int64_t>());
      bounds.max_fraction_digits = 0;
      return;
    }
    if (value.is_number()) {
      const Decimal step = parse_decimal(value.dump());
      const bool power_of_ten = !step.negative && step.whole == "0" && !step.fraction.empty() &&
                                step.fraction.back() == '1' &&
                                step.fraction.find_first_not_of('0') == step.fraction.size() - 1;
      if (power_of_ten && bounds.max_fraction_digits == 0) return;  // every whole number is a multiple
      if (power_of_ten) {
        bounds.max_fraction_digits = static_cast<int>(std::min<size_t>(step.fraction.size(), 12));
        return;
      }
    }
    throw refused(where, fmt::format("`multipleOf` is supported from 1 to {} and as 0.1, 0.01, ...", kMost));
  }

  // Arrays.
  Node separator(Node from) { return grammar_.optional_literal(grammar_.literal(from, ","), " "); }

  Node array(Node from, const Json& schema, const std::string& where) {
    const int64_t least = count(schema, "minItems", 0, where);
    const int64_t most = schema.contains("maxItems") ? count(schema, "maxItems", 0, where) : -1;
    if (schema.contains("uniqueItems") && schema["uniqueItems"] != false && (most < 0 || most > 1))
      throw refused(where, "`uniqueItems` is not supported");
    const bool old_list = schema.contains("items") && schema["items"].is_array();
    const char* prefix_key = old_list ? "items" : "prefixItems";
    const char* rest_key = old_list ? "additionalItems" : "items";
    std::vector<Grammar::Rule> prefix;
    if (schema.contains(prefix_key) && (old_list || schema[prefix_key].is_array()))
      for (size_t i = 0; i < schema[prefix_key].size(); ++i)
        prefix.push_back(inline_rule(schema[prefix_key][i], fmt::format("{}/{}/{}", where, prefix_key, i)));
    const bool no_rest = schema.contains(rest_key) && schema[rest_key] == false;
    const Grammar::Rule rest = no_rest ? -1
                               : schema.contains(rest_key)
                                   ? inline_rule(schema[rest_key], fmt::format("{}/{}", where, rest_key))
                                   : any_value();
    return grammar_.literal(items(grammar_.literal(from, "["), prefix, rest, least, most), "]");
  }
  // `most` -1: no bound; `rest` -1: none beyond the prefix.
  Node items(Node from, const std::vector<Grammar::Rule>& prefix, Grammar::Rule rest, int64_t least, int64_t most) {
    const Node close = grammar_.add_node();
    for (int64_t i = 0;; ++i) {
      if (i >= least) grammar_.add_epsilon(from, close);
      const bool in_prefix = i < static_cast<int64_t>(prefix.size());
      if (i == most || (!in_prefix && rest < 0)) return close;
      if (most < 0 && !in_prefix && i >= std::max<int64_t>(least, 1)) {  // from here on all items are alike
        grammar_.add_call(separator(from), rest, from);
        return close;
      }
      if (i > 0) from = separator(from);
      from = grammar_.call(from, in_prefix ? prefix[static_cast<size_t>(i)] : rest);
    }
  }
  Grammar::Rule inline_rule(const Json& schema, const std::string& where) {
    const Grammar::Rule rule = grammar_.declare_rule();
    const Node start = grammar_.add_node();
    const Node end = grammar_.add_node();
    grammar_.add_epsilon(value(start, schema, where), end);
    grammar_.define_rule(rule, start, end);
    return rule;
  }

  // Objects.
  struct Property {
    std::string name;
    Grammar::Rule rule;
    bool required;
  };
  Node object(Node from, const Json& schema, const std::string& where) {
    const std::vector<Property> properties = declared(schema, where);
    std::optional<CharacterNfa> extra_key;
    Grammar::Rule extra = -1;
    find_extra(schema, properties, where, extra_key, extra);
    const auto required =
        std::count_if(properties.begin(), properties.end(), [](const Property& p) { return p.required; });
    const int64_t least = count(schema, "minProperties", 0, where);
    const int64_t most = schema.contains("maxProperties") ? count(schema, "maxProperties", 0, where) : -1;
    if (properties.empty() && extra_key && least <= 1)
      return free_object(from, *extra_key, extra, least, most < 0 ? std::nullopt : std::optional(most));
    if (least > required || (most >= 0 && (extra_key || most < static_cast<int64_t>(properties.size()))))
      throw refused(where,
                    "`minProperties` and `maxProperties` are supported only where the declared properties keep them");
    return declared_object(from, properties, extra_key, extra);
  }

  std::vector<Property> declared(const Json& schema, const std::string& where) {
    std::vector<Property> properties;
    std::set<std::string> required;
    if (schema.contains("required")) {
      if (!schema["required"].is_array()) throw refused(where, "`required` is a list of names");
      for (const Json& name : schema["required"]) {
        if (!name.is_string()) throw refused(where, "`required` is a list of names");
        required.insert(name.get<std::string>());
      }
    }
    if (schema.contains("properties")) {
      if (!schema["properties"].is_object()) throw refused(where, "`properties` is an object");
      for (const auto& [name, property] : schema["properties"].items())
        properties.push_back(
            {name, inline_rule(property, fmt::format("{}/properties/{}", where, name)), required.erase(name) > 0});
    }
    for (const std::string& name : required) {  // required, but declared nowhere: as the additional ones are
      const Json any = true;
      const Json& property = schema.contains("additionalProperties") ? schema["additionalProperties"] : any;
      properties.push_back({name, inline_rule(property, fmt::format("{}/additionalProperties", where)), true});
    }
    return properties;
  }

  void find_extra(const Json& schema, const std::vector<Property>& properties, const std::string& where,
                  std::optional<CharacterNfa>& key, Grammar::Rule& rule) {
    if (schema.contains("patternProperties")) return find_pattern(schema, properties, where, key, rule);
    const bool open = properties.empty() && !schema.contains("properties");
    const Json additional = schema.contains("additionalProperties") ? schema["additionalProperties"] : Json(open);
    if (additional == false) return;
    if (schema.contains("propertyNames")) {
      if (!properties.empty()) throw refused(where, "`propertyNames` beside declared properties is not supported");
      key = key_of_schema(schema["propertyNames"], where);
    } else {
      key = any_key_but(properties);
    }
    rule = inline_rule(additional, where + "/additionalProperties");
  }
  void find_pattern(const Json& schema, const std::vector<Property>& properties, const std::string& where,
                    std::optional<CharacterNfa>& key, Grammar::Rule& rule) {
    const Json& patterns = schema["patternProperties"];
    const bool closed = !schema.contains("additionalProperties") || schema["additionalProperties"] == false;
    if (!patterns.is_object() || patterns.size() != 1 || !closed || schema.contains("propertyNames"))
      throw refused(where, "`patternProperties` is supported with one pattern and without additional properties");
    const std::string pattern = patterns.begin().key();
    try {
      key = parse_regex(pattern);
    } catch (const ConfigError& error) {
      throw refused(where, fmt::format("`patternProperties`: {}", error.what()));
    }
    for (const Property& property : properties)
      if (key->matches(to_characters(property.name)))
        throw refused(where, fmt::format("`patternProperties` matches the declared property \"{}\"", property.name));
    rule = inline_rule(patterns.begin().value(), where + "/patternProperties");
  }
  CharacterNfa key_of_schema(const Json& names, const std::string& where) const {
    if (names.is_boolean()) return any_key();
    if (!names.is_object()) throw refused(where, "`propertyNames` is a schema");
    for (const auto& [keyword, value] : names.items())
      if (keyword != "type" && keyword != "pattern" && keyword != "minLength" && keyword != "maxLength" &&
          keyword != "description")
        throw refused(where, fmt::format("`propertyNames` with `{}` is not supported", keyword));
    std::optional<int64_t> most;
    if (names.contains("maxLength")) most = count(names, "maxLength", 0, where);
    CharacterNfa nfa = names.contains("pattern") ? parse_regex(text(names, "pattern", where)) : any_key();
    return with_length(nfa, count(names, "minLength", 0, where), most);
  }
  static CharacterNfa any_key() { return any_key_but({}); }
  // Keys of at least one character that are no declared property's: a trie of the names that leads out where it can.
  static CharacterNfa any_key_but(const std::vector<Property>& properties) {
    CharacterNfa nfa;
    nfa.start = nfa.add_state();
    nfa.end = nfa.add_state();
    const int32_t other = nfa.add_state();
    const CharacterSet characters = CharacterSet({{0, 31}, {127, 159}}).complement();
    nfa.states[static_cast<size_t>(other)].edges.push_back({characters, other});
    nfa.states[static_cast<size_t>(other)].epsilon.push_back(nfa.end);
    std::map<std::u32string, int32_t> known{{U"", nfa.start}};
    std::set<std::u32string> names;
    for (const Property& property : properties) {
      const std::u32string name = to_characters(property.name);
      names.insert(name);
      for (size_t length = 1; length <= name.size(); ++length)
        if (!known.contains(name.substr(0, length))) known[name.substr(0, length)] = nfa.add_state();
    }
    std::map<int32_t, std::vector<std::pair<char32_t, char32_t>>> taken;
    for (const auto& [prefix, state] : known) {
      if (prefix.empty()) continue;
      const int32_t parent = known.at(prefix.substr(0, prefix.size() - 1));
      nfa.states[static_cast<size_t>(parent)].edges.push_back({CharacterSet({{prefix.back(), prefix.back()}}), state});
      taken[parent].push_back({prefix.back(), prefix.back()});
      if (!names.contains(prefix)) nfa.states[static_cast<size_t>(state)].epsilon.push_back(nfa.end);
    }
    for (const auto& [prefix, state] : known) {
      std::vector<std::pair<char32_t, char32_t>> out = taken[state];
      out.insert(out.end(), {{0, 31}, {127, 159}});
      nfa.states[static_cast<size_t>(state)].edges.push_back({CharacterSet(out).complement(), other});
    }
    return nfa;
  }

  // The `:` and the value of a member.
  void member(Node after_key, Grammar::Rule rule, Node to) {
    const Node value = grammar_.optional_literal(grammar_.literal(after_key, ":"), " ");
    grammar_.add_call(value, rule, to);
  }
  Grammar::Rule extra_member(const CharacterNfa& key, Grammar::Rule value) {
    const Grammar::Rule rule = grammar_.declare_rule();
    const Node start = grammar_.add_node(), end = grammar_.add_node();
    const Node quoted = grammar_.literal(add_nfa(grammar_, grammar_.literal(start, "\""), key, true), "\"");
    member(quoted, value, end);
    grammar_.define_rule(rule, start, end);
    return rule;
  }
  Node free_object(Node from, const CharacterNfa& key, Grammar::Rule value, int64_t least,
                   std::optional<int64_t> most) {
    const Grammar::Rule rule = extra_member(key, value);
    return grammar_.literal(items(grammar_.literal(from, "{"), {}, rule, least, most.value_or(-1)), "}");
  }
  // In the schema's order. first: nothing is written yet; more: something is, so a comma comes before the next.
  Node declared_object(Node from, const std::vector<Property>& properties, const std::optional<CharacterNfa>& extra_key,
                       Grammar::Rule extra) {
    Node first = grammar_.literal(from, "{"), more = grammar_.add_node();
    for (const Property& property : properties) {
      const Node next_first = grammar_.add_node(), next_more = grammar_.add_node();
      const Node key = grammar_.add_node();
      grammar_.add_epsilon(first, key);
      grammar_.add_epsilon(separator(more), key);
      member(grammar_.literal(key, Json(property.name).dump()), property.rule, next_more);
      if (!property.required) {
        grammar_.add_epsilon(first, next_first);
        grammar_.add_epsilon(more, next_more);
      }
      first = next_first;
      more = next_more;
    }
    const Node close = grammar_.add_node();
    if (extra_key) {
      const Grammar::Rule rule = extra_member(*extra_key, extra);
      const Node extras = grammar_.add_node();
      grammar_.add_call(first, rule, extras);
      grammar_.add_call(separator(more), rule, extras);
      grammar_.add_call(separator(extras), rule, extras);
      grammar_.add_epsilon(extras, close);
    }
    grammar_.add_epsilon(first, close);
    grammar_.add_epsilon(more, close);
    return grammar_.literal(close, "}");
  }

  // Any JSON value.
  Grammar::Rule any_value() {
    return rule_of("any value", [&](Node start) {
      const Node end = grammar_.add_node();
      const Json nothing = Json::object();
      for (const char* type : {"null", "boolean", "string", "number"})
        grammar_.add_epsilon(of_type(start, type, nothing, "#"), end);
      const Grammar::Rule self = any_value();
      grammar_.add_epsilon(free_object(start, any_key(), self, 0, std::nullopt), end);
      grammar_.add_epsilon(grammar_.literal(items(grammar_.literal(start, "["), {}, self, 0, -1), "]"), end);
      return end;
    });
  }

  static int64_t count(const Json& schema, const char* keyword, int64_t fallback, const std::string& where) {
    if (!schema.contains(keyword)) return fallback;
    const Json& value = schema[keyword];
    constexpr int64_t kMost = 1'000'000;
    if (value.is_number() && value.get<double>() >= 0 && value.get<double>() <= kMost &&
        value.get<double>() == std::floor(value.get<double>()))
      return static_cast<int64_t>(value.get<double>());
    throw refused(where, fmt::format("`{}` is a whole number from 0 to {}", keyword, kMost));
  }
  static std::string text(const Json& schema, const char* keyword, const std::string& where) {
    if (!schema[keyword].is_string()) throw refused(where, fmt::format("`{}` is a string", keyword));
    return schema[keyword].get<std::string>();
  }

  Grammar& grammar_;
  const Json& root_;
  std::map<std::string, Grammar::Rule> rules_;
  int nesting_ = 0, merging_ = 0;
};

template <typename Body>
std::shared_ptr<const Grammar> grammar_of(const GrammarLimits& limits, const Body& body) {
  auto grammar = std::make_shared<Grammar>(limits);
  const Grammar::Rule root = grammar->declare_rule();
  const Grammar::Node start = grammar->add_node(), end = grammar->add_node();
  grammar->add_epsilon(body(*grammar, start), end);
  grammar->define_rule(root, start, end);
  try {
    grammar->finish(root);
  } catch (const ConfigError& error) {
    throw ConfigError(fmt::format("schema at #: {}", error.what()));
  }
  return grammar;
}

}  // namespace

Grammar::Node append_json_schema(Grammar& grammar, Grammar::Node from, const nlohmann::ordered_json& schema) {
  return SchemaCompiler(grammar, schema).value(from, schema, "#");
}

std::shared_ptr<const Grammar> json_schema_grammar(const nlohmann::ordered_json& schema, const GrammarLimits& limits) {
  return grammar_of(limits, [&](Grammar& grammar, Node from) { return append_json_schema(grammar, from, schema); });
}

std::shared_ptr<const Grammar> json_object_grammar() {
  return grammar_of({}, [](Grammar& grammar, Node from) {
    const Json nothing = Json::object();
    return SchemaCompiler(grammar, nothing).any_object(from);
  });
}

}  // namespace starling
