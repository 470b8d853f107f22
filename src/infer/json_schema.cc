#include "infer/json_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/json.h"
#include "infer/grammar_regex.h"
#include "infer/json_schema_combination.h"
#include "infer/json_schema_key.h"
#include "infer/json_schema_number.h"

namespace starling {
namespace {

using Json = nlohmann::ordered_json;
using Node = Grammar::Node;

constexpr size_t kMaxBranches = 256;   // of one anyOf or oneOf
constexpr size_t kMaxLiterals = 2000;  // of one enum

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
    // All eight groups, or up to three on either side of "::".
    {"ipv6",
     R"(^(([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|([0-9a-f]{1,4}(:[0-9a-f]{1,4}){0,2})?::([0-9a-f]{1,4}(:[0-9a-f]{1,4}){0,2})?)$)"},
    {"hostname", R"(^[a-z0-9]{1,32}(\.[a-z0-9]{1,32}){0,4}$)"},
    {"uri", R"(^https?://[a-z0-9]{1,32}(\.[a-z0-9]{1,32}){0,4}(/[A-Za-z0-9._~-]{0,64}){0,8}$)"},
    // RFC 3339, appendix A: a unit may be followed only by the next smaller one.
    {"duration",
     R"(^P(\d{1,4}W|((\d{1,4}Y(\d{1,4}M(\d{1,4}D)?)?|\d{1,4}M(\d{1,4}D)?|\d{1,4}D)(T(\d{1,4}H(\d{1,4}M(\d{1,4}S)?)?|\d{1,4}M(\d{1,4}S)?|\d{1,4}S))?|T(\d{1,4}H(\d{1,4}M(\d{1,4}S)?)?|\d{1,4}M(\d{1,4}S)?|\d{1,4}S)))$)"}};

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

class SchemaCompiler {
 public:
  SchemaCompiler(Grammar& grammar, const Json& root) : grammar_(grammar), combiner_(root, grammar) {}

  Node value(Node from, const Json& schema, const std::string& where) {
    if (schema.is_boolean()) return schema.get<bool>() ? grammar_.call(from, any_value()) : grammar_.add_node();
    if (!schema.is_object()) throw schema_refused(where, "a schema is an object, true or false");
    if (++nesting_ > kMaxSchemaNesting)
      throw schema_refused(where, fmt::format("schemas are nested deeper than {} levels", kMaxSchemaNesting));
    grammar_.check_time();
    check_keywords(schema, where);
    const Node end = dispatch(from, schema, where);
    --nesting_;
    return end;
  }
  Node any_object(Node from) { return free_object(from, any_key(), any_value(), 0, std::nullopt); }

 private:
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
      if (!type.is_string()) throw schema_refused(where, "`type` is a string or a list of strings");
      types.push_back(type.get<std::string>());
    }
    if (types.empty()) throw schema_refused(where, "`type` has no entry");
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
    throw schema_refused(where, fmt::format("`type` \"{}\" is none of JSON's", type));
  }

  Node boolean(Node from) {
    const Node end = grammar_.literal(from, "true");
    grammar_.add_epsilon(grammar_.literal(from, "false"), end);
    return end;
  }

  // References and combinations.
  Node combined(Node from, const Json& schema, const std::string& where) {
    Json rest = schema;
    rest.erase("$ref");
    rest.erase("allOf");
    if (schema.contains("$ref") && !schema.contains("allOf") && !has_restriction(rest))
      return grammar_.call(from, rule_of_reference(schema["$ref"], where));
    return value(from, combiner_.resolved(schema, where), where);
  }

  Grammar::Rule rule_of_reference(const Json& reference, const std::string& where) {
    const Json& target = combiner_.target_of(reference, where);
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
      throw schema_refused(where, fmt::format("`{}` is a list of 1 to {} schemas", keyword, kMaxBranches));
    Json common = schema;
    common.erase(keyword);
    std::vector<Json> branches;
    for (const Json& branch : list)
      branches.push_back(has_restriction(common) ? combiner_.merged(common, combiner_.resolved(branch, where), where)
                                                 : branch);
    if (std::string_view(keyword) == "oneOf") combiner_.check_exclusive(branches, where);
    const Node end = grammar_.add_node();
    for (size_t i = 0; i < branches.size(); ++i)
      grammar_.add_epsilon(value(from, branches[i], fmt::format("{}/{}/{}", where, keyword, i)), end);
    return end;
  }
  Node literals(Node from, const Json& schema, const Json& list, const std::string& where) {
    if (!list.is_array() || list.empty() || list.size() > kMaxLiterals)
      throw schema_refused(where, fmt::format("`enum` is a list of 1 to {} values", kMaxLiterals));
    for (const auto& [key, value] : schema.items()) {
      if (is_restricting(key) && key != "type" && key != "enum" && key != "const" && key != "format")
        throw schema_refused(where, fmt::format("`{}` beside `enum` or `const` is not supported", key));
    }
    const Node end = grammar_.add_node();
    const std::vector<std::string> types =
        schema.contains("type") ? types_of(schema, where) : std::vector<std::string>{};
    for (const Json& item : list) {
      const bool fits =
          types.empty() || std::any_of(types.begin(), types.end(), [&](const auto& t) { return has_type(item, t); });
      const bool both = !schema.contains("const") || !schema.contains("enum") ||
                        std::find(schema["enum"].begin(), schema["enum"].end(), item) != schema["enum"].end();
      if (fits && both) grammar_.add_epsilon(grammar_.literal(from, dump_json(item)), end);
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
    if (schema.contains("format")) {
      if (!pattern.empty()) throw schema_refused(where, "`pattern` beside `format` is not supported");
      pattern = pattern_of_format(schema, where);
    }
    Node end;
    if (pattern.empty()) end = repeated(from, string_character(), least, most);
    else end = patterned(from, pattern, least, most, where);
    return grammar_.literal(end, "\"");
  }
  static std::string pattern_of_format(const Json& schema, const std::string& where) {
    const std::string format = text(schema, "format", where);
    std::vector<std::string> known;
    for (const auto& [name, regex] : kFormats) {
      if (format == name) return regex;
      known.emplace_back(name);
    }
    throw schema_refused(where,
                         fmt::format("`format` \"{}\" is not supported; {} are", format, fmt::join(known, ", ")));
  }
  Node patterned(Node from, const std::string& pattern, int64_t least, std::optional<int64_t> most,
                 const std::string& where) {
    try {
      CharacterNfa nfa = parse_regex(pattern);
      if (least > 0 || most) nfa = with_length(nfa, least, most);
      return add_nfa(grammar_, from, nfa, true);
    } catch (const ConfigError& error) {
      throw schema_refused(where, fmt::format("`pattern`: {}", error.what()));
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
      if (!schema[keyword].is_number()) throw schema_refused(where, fmt::format("`{}` is a number", keyword));
      return parse_decimal(dump_json(schema[keyword]));
    };
    const auto both = [&](const char* plain, const char* exclusive, std::optional<Decimal>& value, bool& is_exclusive) {
      if (schema.contains(plain)) value = bound(plain);
      if (!schema.contains(exclusive)) return;
      if (schema.contains(plain))
        throw schema_refused(where, fmt::format("`{}` beside `{}` is not supported", exclusive, plain));
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
      const Decimal step = parse_decimal(dump_json(value));
      const bool power_of_ten = !step.negative && step.whole == "0" && !step.fraction.empty() &&
                                step.fraction.back() == '1' &&
                                step.fraction.find_first_not_of('0') == step.fraction.size() - 1;
      if (power_of_ten && bounds.max_fraction_digits == 0) return;  // every whole number is a multiple
      if (power_of_ten) {
        bounds.max_fraction_digits = static_cast<int>(std::min<size_t>(step.fraction.size(), 12));
        return;
      }
    }
    throw schema_refused(where, fmt::format("`multipleOf` is supported from 1 to {} and as 0.1, 0.01, ...", kMost));
  }

  // Arrays.
  Node separator(Node from) { return grammar_.optional_literal(grammar_.literal(from, ","), " "); }

  Node array(Node from, const Json& schema, const std::string& where) {
    const int64_t least = count(schema, "minItems", 0, where);
    const int64_t most = schema.contains("maxItems") ? count(schema, "maxItems", 0, where) : -1;
    if (schema.contains("uniqueItems") && schema["uniqueItems"] != false && (most < 0 || most > 1))
      throw schema_refused(where, "`uniqueItems` is not supported");
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
      throw schema_refused(
          where, "`minProperties` and `maxProperties` are supported only where the declared properties keep them");
    return declared_object(from, properties, extra_key, extra);
  }

  std::vector<Property> declared(const Json& schema, const std::string& where) {
    std::vector<Property> properties;
    std::set<std::string> required;
    if (schema.contains("required")) {
      if (!schema["required"].is_array()) throw schema_refused(where, "`required` is a list of names");
      for (const Json& name : schema["required"]) {
        if (!name.is_string()) throw schema_refused(where, "`required` is a list of names");
        required.insert(name.get<std::string>());
      }
    }
    if (schema.contains("properties")) {
      if (!schema["properties"].is_object()) throw schema_refused(where, "`properties` is an object");
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
    const bool named = schema.contains("propertyNames");
    if (named) check_names(schema["propertyNames"], properties, where);
    if (additional == false) return;
    if (named) {
      if (!properties.empty())
        throw schema_refused(where, "`propertyNames` beside declared properties is not supported");
      key = key_of_schema(schema["propertyNames"], where);
    } else {
      std::vector<std::string> names;
      for (const Property& property : properties) names.push_back(property.name);
      key = any_key_but(names);
    }
    rule = inline_rule(additional, where + "/additionalProperties");
  }
  void check_names(const Json& names, const std::vector<Property>& properties, const std::string& where) const {
    if (properties.empty()) return;
    const CharacterNfa key = key_of_schema(names, where);
    for (const Property& property : properties) {
      grammar_.check_time();
      if (!key.matches(to_characters(property.name)))
        throw schema_refused(where,
                             fmt::format("`propertyNames` excludes the declared property \"{}\"", property.name));
    }
  }
  void find_pattern(const Json& schema, const std::vector<Property>& properties, const std::string& where,
                    std::optional<CharacterNfa>& key, Grammar::Rule& rule) {
    const Json& patterns = schema["patternProperties"];
    const bool closed = !schema.contains("additionalProperties") || schema["additionalProperties"] == false;
    if (!patterns.is_object() || patterns.size() != 1 || !closed || schema.contains("propertyNames"))
      throw schema_refused(where,
                           "`patternProperties` is supported with one pattern and without additional properties");
    const std::string pattern = patterns.begin().key();
    try {
      key = parse_regex(pattern);
    } catch (const ConfigError& error) {
      throw schema_refused(where, fmt::format("`patternProperties`: {}", error.what()));
    }
    for (const Property& property : properties) {
      grammar_.check_time();
      if (key->matches(to_characters(property.name)))
        throw schema_refused(where,
                             fmt::format("`patternProperties` matches the declared property \"{}\"", property.name));
    }
    rule = inline_rule(patterns.begin().value(), where + "/patternProperties");
  }
  CharacterNfa key_of_schema(const Json& names, const std::string& where) const {
    if (names.is_boolean()) return names.get<bool>() ? any_key() : no_key();
    if (!names.is_object()) throw schema_refused(where, "`propertyNames` is a schema");
    for (const auto& [keyword, value] : names.items())
      if (keyword != "type" && keyword != "pattern" && keyword != "minLength" && keyword != "maxLength" &&
          keyword != "description")
        throw schema_refused(where, fmt::format("`propertyNames` with `{}` is not supported", keyword));
    std::optional<int64_t> most;
    if (names.contains("maxLength")) most = count(names, "maxLength", 0, where);
    CharacterNfa nfa = names.contains("pattern") ? parse_regex(text(names, "pattern", where)) : any_key();
    return with_length(nfa, count(names, "minLength", 0, where), most);
  }
  static CharacterNfa any_key() { return any_key_but({}); }
  static CharacterNfa no_key() {
    CharacterNfa nfa;
    nfa.start = nfa.add_state();
    nfa.end = nfa.add_state();
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
      member(grammar_.literal(key, dump_json(Json(property.name))), property.rule, next_more);
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
    throw schema_refused(where, fmt::format("`{}` is a whole number from 0 to {}", keyword, kMost));
  }
  static std::string text(const Json& schema, const char* keyword, const std::string& where) {
    if (!schema[keyword].is_string()) throw schema_refused(where, fmt::format("`{}` is a string", keyword));
    return schema[keyword].get<std::string>();
  }

  Grammar& grammar_;
  SchemaCombiner combiner_;
  std::map<std::string, Grammar::Rule> rules_;
  int nesting_ = 0;
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
