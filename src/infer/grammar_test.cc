// Grammars as automata: regular expressions, JSON Schema, GBNF text, and masks over a tokenizer's tokens.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <nlohmann/json.hpp>
#include <random>

#include "core/error.h"
#include "core/random.h"
#include "infer/grammar_automaton.h"
#include "infer/grammar_constraint.h"
#include "infer/grammar_regex.h"
#include "infer/grammar_text.h"
#include "infer/json_schema.h"
#include "infer/sampler.h"

namespace starling {
namespace {

using Json = nlohmann::ordered_json;
using testing::HasSubstr;

bool accepts(const std::shared_ptr<const Grammar>& grammar, std::string_view text) {
  GrammarAutomaton automaton(grammar);
  GrammarAutomaton::StateId state = automaton.start();
  for (const char c : text) state = automaton.step(state, static_cast<uint8_t>(c));
  return state != GrammarAutomaton::kDead && automaton.accepts(state);
}
bool schema_accepts(const char* schema, std::string_view text) {
  return accepts(json_schema_grammar(Json::parse(schema)), text);
}
std::string refusal_of(const std::string& schema, const GrammarLimits& limits = {}) {
  try {
    json_schema_grammar(Json::parse(schema), limits);
    return "taken";
  } catch (const ConfigError& error) {
    return error.what();
  }
}

// A random text of the grammar: random bytes that the automaton takes, then the shortest way to an end.
std::string random_text(const std::shared_ptr<const Grammar>& grammar, uint64_t seed, int free_bytes) {
  GrammarAutomaton automaton(grammar);
  GrammarAutomaton::StateId state = automaton.start();
  std::string text;
  for (uint64_t i = 0;; ++i) {
    if (automaton.accepts(state) && (!automaton.goes_on(state) || random_u64(seed, 1, i) % 4 == 0)) return text;
    std::vector<std::pair<int, GrammarAutomaton::StateId>> next;
    for (int byte = 0; byte < 256; ++byte) {
      const auto to = automaton.step(state, static_cast<uint8_t>(byte));
      if (to == GrammarAutomaton::kDead) continue;
      if (static_cast<int>(i) < free_bytes || automaton.distance(to) < automaton.distance(state))
        next.push_back({byte, to});
    }
    if (next.empty()) return text;
    const auto& chosen = next[random_u64(seed, 2, i) % next.size()];
    text += static_cast<char>(chosen.first);
    state = chosen.second;
  }
}

struct RegexCase {
  const char* pattern;
  std::vector<std::string> yes, no;
};

TEST(GrammarRegex, MatchesWhatEcmaScriptMatches) {
  const RegexCase cases[] = {
      {"^abc$", {"abc"}, {"ab", "abcd", "xabc", ""}},
      {"b", {"b", "abc", "xxb"}, {"", "ac"}},
      {"^a|b$", {"a", "ax", "xb", "b"}, {"xa", "bx"}},
      {"^(a|b)+$", {"a", "abba"}, {"", "abc"}},
      {"^a{2,3}$", {"aa", "aaa"}, {"a", "aaaa"}},
      {"^a{0}b$", {"b"}, {"ab"}},
      {"^a{2,}$", {"aa", "aaaaa"}, {"a"}},
      {"^(ab?){2}c*?$", {"aa", "abab", "abacc"}, {"ab", "c"}},
      {"^[a-c-]+$", {"a-c"}, {"d"}},
      {"^[^a-y]$", {"z", "é", "中"}, {"b", "zz"}},
      {"^\\d\\D\\w\\W\\s\\S$", {"1a_! x"}, {"aa_! x", "1a_!xx"}},
      {"^\\x41\\u00e9\\.$", {"Aé."}, {"Aéx", "Ae."}},
      {"^.$", {"x", "é", "😀"}, {"\n", "", "xx"}},
      {"^(?:x(?:y|z))?$", {"", "xy", "xz"}, {"x"}},
      {"^[\\]\\\\]$", {"]", "\\"}, {"["}},
  };
  for (const RegexCase& c : cases) {
    const CharacterNfa nfa = parse_regex(c.pattern);
    for (const std::string& text : c.yes) EXPECT_TRUE(nfa.matches(to_characters(text))) << c.pattern << " on " << text;
    for (const std::string& text : c.no) EXPECT_FALSE(nfa.matches(to_characters(text))) << c.pattern << " on " << text;
  }
}

TEST(GrammarRegex, RefusesWhatItCannotKeepAndNamesTheColumn) {
  for (const char* pattern : {"a(?=b)", "(a)\\1", "\\bword", "\\p{L}", "a**", "a^b", "a$b", "(a", "a)", "[a", "[z-a]",
                              "a{3,2}", "a{20000}", "*a", "a\\", "\\xg0", "(?<n>a)", "a{2}{2}"}) {
    try {
      parse_regex(pattern);
      ADD_FAILURE() << pattern << " was taken";
    } catch (const ConfigError& error) {
      EXPECT_THAT(error.what(), HasSubstr("pattern")) << pattern;
    }
  }
}

TEST(GrammarRegex, CopiesWithinCopiesAreRefusedBeforeTheyTakeLong) {
  std::string stars = "a", none = "a";
  for (int i = 0; i < 60; ++i) stars = "(" + stars + ")*";  // read twice at each level: 2^60
  for (int i = 0; i < 10; ++i) none = "((" + none + "){0}){1000}";
  for (const std::string& pattern : {stars, none, "[" + std::string(200'000, 'a') + "]{10000}"})
    EXPECT_THROW(parse_regex(pattern), ConfigError);
}

TEST(GrammarRegex, NoPatternOfRandomOrCutTextCrashes) {
  const std::string seedling = "^(a|[b-d]{1,3}|\\d+\\u00e9(?:x?y*)|[^\\]z])$";
  for (uint64_t i = 0; i < 3000; ++i) {
    std::string pattern = seedling.substr(0, random_u64(1, 1, i) % (seedling.size() + 1));
    for (int flips = 0; flips < 3 && !pattern.empty(); ++flips)
      pattern[random_u64(2, i, flips) % pattern.size()] ^= static_cast<char>(1 << random_u64(3, i, flips) % 7);
    try {
      parse_regex(pattern);
    } catch (const ConfigError&) {
    }
  }
}

struct SchemaCase {
  const char* schema;
  std::vector<std::string> yes, no;
};

TEST(JsonSchema, TakesValidTextsAndNoOthers) {
  const SchemaCase cases[] = {
      {R"({"type":"null"})", {"null"}, {"true", "", " null"}},
      {R"({"type":"boolean"})", {"true", "false"}, {"maybe", "truefalse"}},
      {R"({"type":"integer"})", {"0", "-1", "120"}, {"01", "-0", "1.5", "-", "1e3"}},
      {R"({"type":"number"})", {"0", "0.5", "-12.25"}, {"1.", ".5", "00"}},
      {R"({"type":"string"})",
       {R"("")", R"("a\"b\\c")", R"("é中😀")", R"("\n")"},
       {"\"", "\"a", "\"\n\"", "\"\xff\"", "a"}},
      {R"({"type":"string","minLength":2,"maxLength":3})", {R"("ab")", R"("中é😀")"}, {R"("a")", R"("abcd")"}},
      {R"({"type":"string","maxLength":1})", {R"("")", R"("\\")", R"("😀")"}, {R"("ab")"}},
      {R"({"type":"string","pattern":"^[A-Z]{2}\\d+$"})", {R"("AB1")", R"("XY123")"}, {R"("A1")", R"("AB")"}},
      {R"({"type":"string","pattern":"^\"+$"})", {R"("\"\"")"}, {R"("")", R"(""")"}},
      {R"({"type":"string","pattern":"a","maxLength":2})", {R"("a")", R"("ba")"}, {R"("b")", R"("bba")"}},
      {R"({"type":"string","format":"date"})", {R"("2024-02-28")"}, {R"("2024-02-30")", R"("24-1-1")"}},
      {R"({"type":"string","format":"ipv6"})",
       {R"("::")", R"("::1")", R"("fe80::1:2")", R"("2001:db8:0:0:0:0:0:1")"},
       {R"("")", R"(":1")", R"("1::2::3")", R"("1:2:3:4:5:6:7")", R"("1:2:3:4:5:6:7:8:9")", R"("::12345")"}},
      {R"({"type":"string","format":"duration"})",
       {R"("P3D")", R"("P1Y2M10D")", R"("PT1H30M")", R"("P1DT12H")", R"("P4W")", R"("PT0S")"},
       {R"("P")", R"("PT")", R"("P1DT")", R"("P1Y2D")", R"("PT1H5S")", R"("P1W2D")", R"("3D")"}},
      {R"({"type":"string","format":"uri"})",
       {R"("https://example.org")", R"("http://a/b/c.html")"},
       {R"("example.org")", R"("https://")", R"("https://a b")"}},
      {R"({"type":"integer","format":"int32"})", {"7"}, {R"("7")"}},
      {R"({"enum":["a",1,null,{"x":[true]}]})", {R"("a")", "1", "null", R"({"x":[true]})"}, {"2", R"("b")"}},
      {R"({"type":"string","enum":["a",1]})", {R"("a")"}, {"1"}},
      {R"({"const":"é"})", {R"("é")"}, {R"("e")"}},
      {R"({"type":"integer","minimum":5,"maximum":120})",
       {"5", "9", "10", "99", "100", "120"},
       {"4", "121", "0", "-5", "500"}},
      {R"({"type":"integer","minimum":-12,"maximum":3})", {"-12", "-1", "0", "3"}, {"-13", "4", "-120", "-0"}},
      {R"({"type":"integer","exclusiveMinimum":0,"exclusiveMaximum":10})", {"1", "9"}, {"0", "10"}},
      {R"({"type":"integer","minimum":1.5})", {"2", "10"}, {"1", "-2"}},
      {R"({"type":"integer","multipleOf":5,"minimum":0,"maximum":30})", {"0", "5", "30"}, {"3", "35"}},
      {R"({"type":"number","minimum":0.25,"maximum":1.5})",
       {"0.25", "0.3", "1", "1.49", "1.5"},
       {"0.2", "0", "1.51", "2"}},
      {R"({"type":"number","exclusiveMaximum":1,"minimum":0})", {"0", "0.999"}, {"1", "1.0"}},
      {R"({"type":"number","maximum":-1.5})", {"-1.5", "-2", "-1.51"}, {"-1", "0", "1", "-1.4"}},
      {R"({"type":"number","multipleOf":0.01,"minimum":0})", {"1.25", "3"}, {"1.255"}},
      {R"({"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":3})",
       {"[1]", "[1,2]", "[1, 2,3]"},
       {"[]", "[1,2,3,4]", "[1,]"}},
      {R"({"type":"array","items":{"type":"null"}})", {"[]", "[null]", "[null,null,null]"}, {"[null", "[,null]"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"items":false})",
       {"[]", R"([1,"a"])"},
       {R"([1,"a",2])", R"(["a"])"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"null"}},"required":["a"],"additionalProperties":false})",
       {R"({"a":1})", R"({"a": 1, "b":null})"},
       {"{}", R"({"b":null})", R"({"a":1,"c":2})", R"({"a":1,})"}},
      {R"({"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"},"c":{"type":"null"}}})",
       {"{}", R"({"b":null})", R"({"a":null,"c":null})"},
       {R"({,"b":null})", R"({"b":null,"a":null})"}},
      {R"({"type":"object","properties":{"ab":{"type":"null"}},"additionalProperties":{"type":"integer"}})",
       {"{}", R"({"ab":null})", R"({"a":1})", R"({"ab":null,"abc":2,"x":3})"},
       {R"({"ab":1})", R"({"a":null})"}},
      {R"({"type":"object","additionalProperties":{"type":"integer"},"propertyNames":{"pattern":"^[a-z]+$"}})",
       {R"({"ab":1})"},
       {R"({"A":1})"}},
      {R"({"type":"object","propertyNames":false})", {"{}"}, {R"({"a":1})"}},
      {R"({"type":"object","properties":{"ab":{"type":"integer"}},"propertyNames":{"pattern":"^[a-z]+$"}})",
       {"{}", R"({"ab":1})"},
       {R"({"a":1})"}},
      {R"({"type":"object","patternProperties":{"^x_":{"type":"integer"}}})", {"{}", R"({"x_1":1})"}, {R"({"y":1})"}},
      {R"({"type":"object"})", {"{}", R"({"a":{"b":[1,"c",null]}})"}, {"[]", R"({"a"})"}},
      {"{}", {"1", "[]", R"({"a":[{}]})"}, {"", "nul"}},
      {"true", {"null"}, {"nope"}},
      {R"({"anyOf":[{"type":"string"},{"type":"integer","minimum":3}]})", {R"("x")", "3"}, {"2", "null"}},
      {R"({"type":"integer","anyOf":[false,{"minimum":3}]})", {"3"}, {"2"}},
      {R"({"type":["integer","null"]})", {"7", "null"}, {R"("7")"}},
      {R"({"oneOf":[{"type":"object","properties":{"k":{"const":"a"}},"required":["k"]},{"type":"object","properties":{"k":{"const":"b"}},"required":["k"]}]})",
       {R"({"k":"a"})", R"({"k":"b"})"},
       {R"({"k":"c"})", "{}"}},
      {R"({"allOf":[{"type":"integer","minimum":2},{"maximum":4}]})", {"2", "4"}, {"1", "5"}},
      {R"({"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]}},"required":["v","next"],"additionalProperties":false}}})",
       {R"({"v":1,"next":null})", R"({"v":1,"next":{"v":2,"next":null}})"},
       {R"({"v":1})", R"({"v":1,"next":{}})"}},
      // A reference is a URI, so a generator writes List<Post>, and a name with a slash, with escapes.
      {R"({"$ref":"#/$defs/List%3CPost%3E~1a","$defs":{"List<Post>/a":{"type":"boolean"}}})", {"true"}, {"1"}},
      {R"({"$ref":"#/$defs/5%","$defs":{"5%":{"type":"boolean"}}})", {"true"}, {"1"}},
  };
  for (const SchemaCase& c : cases) {
    for (const std::string& text : c.yes) EXPECT_TRUE(schema_accepts(c.schema, text)) << c.schema << " on " << text;
    for (const std::string& text : c.no) EXPECT_FALSE(schema_accepts(c.schema, text)) << c.schema << " on " << text;
  }
}

TEST(JsonSchema, EveryRandomTextOfAGrammarIsJson) {
  const char* schemas[] = {
      "{}", R"({"type":"object"})", R"({"type":"array","items":{"type":"string","pattern":"[^a]\\\\"},"maxItems":4})",
      R"({"type":"object","properties":{"a\"b":{"type":"number","minimum":-0.5,"maximum":7},"c":{"type":"array"}},"required":["c"],"additionalProperties":true})",
      R"({"type":"object","properties":{"t":{"$ref":"#"},"u":{"type":"string","format":"date-time"}}})"};
  for (const char* schema : schemas) {
    const auto grammar = json_schema_grammar(Json::parse(schema));
    for (uint64_t seed = 0; seed < 40; ++seed) {
      const std::string text = random_text(grammar, seed, 60);
      EXPECT_TRUE(Json::accept(text)) << schema << " gave " << text;
    }
  }
}

TEST(JsonSchema, ABoundedNumberKeepsItsBounds) {
  const auto grammar = json_schema_grammar(Json::parse(R"({"type":"number","minimum":-3.75,"exclusiveMaximum":12.5})"));
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const double value = std::stod(random_text(grammar, seed, 12));
    EXPECT_GE(value, -3.75);
    EXPECT_LT(value, 12.5);
  }
}

int64_t peak_kilobytes() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  return use.ru_maxrss;
}

// 800 MB, were each of its beginnings kept.
TEST(JsonSchema, ALongNameBesideAdditionalPropertiesTakesLittleMemory) {
  const std::string schema = R"({"properties":{")" + std::string(20'000, 'a') + R"(":{}},"additionalProperties":true})";
  const int64_t before = peak_kilobytes();
  EXPECT_THAT(refusal_of(schema, {.seconds = 100}), HasSubstr("states"));
  EXPECT_LT(peak_kilobytes() - before, 300 << 10);
}

// What stands beside `anyOf` is merged into each of its branches.
TEST(JsonSchema, BranchesThatWouldBeLargeTogetherAreRefused) {
  const Json schema = {{"type", "object"},
                       {"description", std::string(1 << 20, 'd')},
                       {"anyOf", std::vector<Json>(256, Json::object())}};
  const int64_t before = peak_kilobytes();
  EXPECT_THAT(refusal_of(schema.dump(), {.seconds = 100}), HasSubstr("combined"));
  EXPECT_LT(peak_kilobytes() - before, 150 << 10);
}

// A class of 2000 characters that do not touch, a copy for each of 5000 places.
TEST(JsonSchema, ALargeClassAndALengthAreRefusedTogether) {
  std::string characters;
  for (char32_t c = 0x4e00; c < 0x4e00 + 4000; c += 2)
    characters += {static_cast<char>(0xe0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3f)),
                   static_cast<char>(0x80 | (c & 0x3f))};
  EXPECT_THAT(refusal_of(R"({"type":"string","maxLength":5000,"pattern":"^[)" + characters + R"(]*$"})"),
              HasSubstr("classes"));
}

TEST(JsonSchema, APatternThatTakesLongToMatchANameIsRefused) {
  EXPECT_THAT(refusal_of(R"({"properties":{")" + std::string(2000, 'a') +
                             R"(":{}},"propertyNames":{"pattern":"^(a?){2000}$"}})",
                         {.seconds = 100}),
              HasSubstr("too long to match"));
}

// Compared pair by pair, these lists would take minutes.
TEST(JsonSchema, LongListsAreCombinedInTimeThatGrowsWithTheirLength) {
  Json first = Json::array(), second = Json::array();
  for (int i = 0; i < 100'000; ++i) first.push_back(i), second.push_back(99'999 + i);
  const auto both = [&](const char* keyword) { return Json::array({{{keyword, first}}, {{keyword, second}}}); };
  EXPECT_TRUE(accepts(json_schema_grammar(Json{{"allOf", both("enum")}}, {.seconds = 100}), "99999"));
  EXPECT_THAT(refusal_of(Json{{"oneOf", both("enum")}}.dump(), {.seconds = 100}), HasSubstr("oneOf"));
}

TEST(JsonSchema, WhatItCannotKeepIsRefusedWithItsPlace) {
  EXPECT_THAT(refusal_of(R"({"type":"object","properties":{"a":{"not":{}}}})"), HasSubstr("#/properties/a: `not`"));
  EXPECT_THAT(refusal_of(R"({"type":"array","uniqueItems":true})"), HasSubstr("uniqueItems"));
  EXPECT_THAT(refusal_of(R"({"$ref":"http://example.org/x"})"), HasSubstr("into this schema"));
  EXPECT_THAT(refusal_of(R"({"$ref":"#/$defs/none"})"), HasSubstr("points to nothing"));
  EXPECT_THAT(refusal_of(R"x({"type":"string","pattern":"(?=a)"})x"), HasSubstr("look-around"));
  EXPECT_THAT(refusal_of(R"({"properties":{"ab":{},"A":{}},"propertyNames":{"pattern":"^[a-z]+$"}})"),
              HasSubstr("excludes the declared property \"A\""));
  EXPECT_THAT(refusal_of(R"({"oneOf":[{"type":"integer"},{"type":"number"}]})"), HasSubstr("anyOf"));
  // null satisfies both.
  EXPECT_THAT(
      refusal_of(
          R"({"oneOf":[{"type":["object","null"],"properties":{"k":{"const":1}},"required":["k"]},{"type":["object","null"],"properties":{"k":{"const":2}},"required":["k"]}]})"),
      HasSubstr("anyOf"));
  EXPECT_THAT(refusal_of(R"({"type":"integer","anyOf":["no schema"]})"), HasSubstr("a schema is"));
  EXPECT_THAT(refusal_of(R"({"type":"colour"})"), HasSubstr("colour"));
  EXPECT_THAT(refusal_of(R"({"type":"object","properties":{"a":{"type":"string","format":"json-pointer"}}})"),
              HasSubstr("#/properties/a: `format` \"json-pointer\""));
  EXPECT_THAT(refusal_of(R"({"format":"iri"})"), HasSubstr("iri"));
  EXPECT_THAT(refusal_of(R"({"type":"string","format":"date","pattern":"^2"})"), HasSubstr("`pattern`"));
  EXPECT_THAT(refusal_of(R"({"type":"integer","minimum":5,"maximum":4})"), HasSubstr("no text"));
  EXPECT_THAT(refusal_of(R"({"$ref":"#"})"), HasSubstr("no text"));
  EXPECT_THAT(refusal_of(R"({"allOf":[{"$ref":"#"}]})"), HasSubstr("back to themselves"));
  // By the standard only {} satisfies it: `a` is additional to what the schema itself declares.
  EXPECT_THAT(refusal_of(R"({"allOf":[{"properties":{"a":{}}}],"additionalProperties":false})"),
              HasSubstr("`additionalProperties` cannot be combined"));
  EXPECT_THAT(refusal_of(R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})"),
              HasSubstr("no text"));
  EXPECT_THAT(refusal_of("3"), HasSubstr("a schema is"));
}

TEST(JsonSchema, OneThatIsTooLargeIsRefusedByALimit) {
  EXPECT_THAT(refusal_of(R"x({"type":"string","pattern":"^((a{1,100}){1,100}){1,100}$"})x"), HasSubstr("states"));
  EXPECT_THAT(refusal_of(R"({"type":"array","minItems":900000})"), HasSubstr("it "));
  const std::string slow = R"x({"type":"string","pattern":"^((a{1,20}){1,20}){1,20}$"})x";
  EXPECT_EQ(refusal_of(slow), "taken");
  EXPECT_THAT(refusal_of(slow, {.seconds = 0}), HasSubstr("to compile"));
  // Each level refers twice to the next: 2^40 when it is written out
  Json schema = {{"$ref", "#/$defs/d0"}};
  for (int i = 0; i < 40; ++i) {
    const Json next = {{"$ref", fmt::format("#/$defs/d{}", i + 1)}};
    schema["$defs"][fmt::format("d{}", i)] = {{"allOf", Json::array({next, next})}};
  }
  schema["$defs"]["d40"] = {{"type", "null"}};
  EXPECT_THAT(refusal_of(schema.dump()), HasSubstr("$ref"));
}

TEST(JsonSchema, CutAndFlippedSchemasAreTakenOrRefusedButNeverCrash) {
  const std::string whole =
      R"({"type":"object","properties":{"a":{"type":"string","pattern":"^a{2,3}$","maxLength":9},"b":{"anyOf":[{"type":"integer","minimum":-5},{"$ref":"#/$defs/x"}]},)"
      R"("c":{"type":"array","items":{"enum":[1,"z"]},"minItems":1}},"required":["a"],"additionalProperties":{"type":"number","multipleOf":0.01},"$defs":{"x":{"allOf":[{"type":"null"}]}}})";
  for (uint64_t i = 0; i < 4000; ++i) {
    std::string text = whole;
    for (int flips = 0; flips < 2; ++flips)
      text[random_u64(5, i, flips) % text.size()] ^= static_cast<char>(1 << random_u64(6, i, flips) % 7);
    const Json schema = Json::parse(text, nullptr, false);
    if (schema.is_discarded()) continue;
    try {
      json_schema_grammar(schema);
    } catch (const ConfigError&) {
    }
  }
}

// As deep as the beginning of each text can be repeated, something may follow.
TEST(GrammarAutomaton, AtTheLimitOfNestingEveryBeginningHasAWayOn) {
  const struct {
    std::shared_ptr<const Grammar> grammar;
    const char* level;
  } cases[] = {
      {json_object_grammar(), R"({"a":)"},
      {json_schema_grammar(Json::parse("{}")), R"([0,)"},
      {json_schema_grammar(
           Json::parse(R"({"type":"object","properties":{"a":{"anyOf":[{"$ref":"#"},{"type":"null"}]}},)"
                       R"("required":["a"],"additionalProperties":false})")),
       R"({"a":)"},
      {parse_grammar("root ::= \"(\" inner \")\"\ninner ::= \"x\" | \"-\" root \"-\""), "(-"},
  };
  for (const auto& c : cases) {
    GrammarAutomaton automaton(c.grammar);
    const auto goes_on = [&](GrammarAutomaton::StateId state) {
      for (int byte = 0; byte < 256; ++byte)
        if (automaton.step(state, static_cast<uint8_t>(byte)) != GrammarAutomaton::kDead) return true;
      return automaton.accepts(state);
    };
    GrammarAutomaton::StateId state = automaton.start();
    int levels = 0;
    for (const std::string level = c.level; state != GrammarAutomaton::kDead && levels < 1000; ++levels)
      for (const char byte : level) {
        ASSERT_TRUE(goes_on(state)) << c.level << " " << levels;
        state = automaton.step(state, static_cast<uint8_t>(byte));
        if (state == GrammarAutomaton::kDead) break;
      }
    EXPECT_TRUE(levels > 50 && levels < 1000) << c.level << " " << levels;
  }
}

TEST(GrammarText, ReadsRulesGroupsRepetitionsAndClasses) {
  const auto grammar = parse_grammar(
      "# yes or a list\nroot ::= \"yes\" | list\n  | \"\\\"\\u00e9\"\nlist ::= \"[\" item (\",\" item){0,2} "
      "\"]\"\nitem ::= [a-c0-9]+ | [^\\x00-\\x7f]?\n");
  for (const char* text : {"yes", "\"é", "[a]", "[ab,c9,é]", "[]", "[,]"}) EXPECT_TRUE(accepts(grammar, text)) << text;
  for (const char* text : {"", "no", "[d]", "[a,b,c,a]", "[ab"}) EXPECT_FALSE(accepts(grammar, text)) << text;
  const auto nested = parse_grammar("root ::= \"(\" root* \")\"");
  EXPECT_TRUE(accepts(nested, "(()(()))"));
  EXPECT_FALSE(accepts(nested, "(()"));
}

TEST(GrammarText, AMistakeNamesLineAndColumn) {
  const std::pair<const char*, const char*> cases[] = {{"root := \"a\"", "line 1, column"},
                                                       {"root ::= \"a", "not closed"},
                                                       {"root ::= a", "`a` is used"},
                                                       {"a ::= \"b\"", "no rule `root`"},
                                                       {"root ::= root \"a\"", "own beginning"},
                                                       {"root ::= [b-a]", "up to another"},
                                                       {"root ::= (\"a\"", "group"},
                                                       {"root ::= \"a\"\nroot ::= \"b\"", "line 2"},
                                                       {"root ::= \"a\"{99999}", "10000"},
                                                       {"root ::= a\na ::= \"x\" a", "no text"}};
  for (const auto& [text, said] : cases) {
    try {
      parse_grammar(text);
      ADD_FAILURE() << text;
    } catch (const ConfigError& error) {
      EXPECT_THAT(error.what(), HasSubstr(said));
    }
  }
}

TEST(GrammarText, RulesTooDeepBeforeATextBeginsAreRefused) {
  std::string text = "root ::= r0\n";
  for (int i = 0; i < 300; ++i) text += fmt::format("r{} ::= r{} \"x\"\n", i, i + 1);
  text += "r300 ::= \"a\"\n";
  EXPECT_THROW(GrammarAutomaton(parse_grammar(text)), ConfigError);
}

// A tokenizer whose tokens are single bytes and a few longer pieces; the last token is special.
std::unique_ptr<Tokenizer> small_tokenizer() {
  int line = 0;
  return train_byte_level_bpe(
      [&](std::string& text) {
        text = R"({"name":"value","name":"value"} true false null)";
        return line++ < 20;
      },
      300);
}

TEST(GrammarConstraint, TheMaskAllowsExactlyTheTokensThatTheAutomatonTakes) {
  const std::unique_ptr<Tokenizer> tokenizer = small_tokenizer();
  const auto trie = std::make_shared<TokenTrie>(*tokenizer);
  const auto grammar = json_schema_grammar(
      Json::parse(R"({"type":"object","properties":{"name":{"type":"boolean"}},"required":["name"]})"));
  ConstraintCursor cursor(std::make_shared<GrammarConstraint>(grammar, trie));
  GrammarAutomaton automaton(grammar);
  GrammarAutomaton::StateId state = automaton.start();
  for (const char byte : std::string(R"({"name": true})")) {
    std::vector<float> logits(static_cast<size_t>(tokenizer->vocab_size()), 0.0f);
    cursor.mask(logits);
    for (TokenId id = 0; id < tokenizer->vocab_size(); ++id) {
      GrammarAutomaton::StateId after = trie->bytes(id).empty() ? GrammarAutomaton::kDead : state;
      for (const char c : trie->bytes(id)) after = automaton.step(after, static_cast<uint8_t>(c));
      EXPECT_EQ(std::isinf(logits[static_cast<size_t>(id)]), after == GrammarAutomaton::kDead) << id;
    }
    TokenId next = -1;
    for (TokenId id = 0; id < tokenizer->vocab_size(); ++id)
      if (trie->bytes(id) == std::string_view(&byte, 1)) next = id;
    ASSERT_GE(next, 0);
    cursor.advance(next);
    state = automaton.step(state, static_cast<uint8_t>(byte));
  }
  EXPECT_TRUE(cursor.complete());
}

TEST(GrammarConstraint, ABiasThatForbidsWhatTheGrammarAsksIsAnErrorAndNoOtherToken) {
  const std::unique_ptr<Tokenizer> tokenizer = small_tokenizer();
  const auto constraint = std::make_shared<GrammarConstraint>(parse_grammar("root ::= \"x\" | \"yz\""),
                                                              std::make_shared<TokenTrie>(*tokenizer));
  const TokenId x = tokenizer->encode("x").front(), y = tokenizer->encode("y").front();
  const std::vector<float> logits(static_cast<size_t>(tokenizer->vocab_size()));
  for (const float temperature : {0.0f, 1.0f}) {
    const SamplingOptions both{
        .temperature = temperature, .logit_bias = {{x, -INFINITY}, {y, -INFINITY}}, .constraint = constraint};
    EXPECT_THROW(TokenChooser(both, 5, {}).choose(logits), ConfigError);
    // Only x would end in time.
    const SamplingOptions one{.temperature = temperature, .logit_bias = {{x, -INFINITY}}, .constraint = constraint};
    EXPECT_EQ(TokenChooser(one, 1, {}).choose(logits), y);
  }
}

TEST(GrammarConstraint, ATextThatCanBeReadInTooManyWaysIsRefused) {
  const std::unique_ptr<Tokenizer> tokenizer = small_tokenizer();
  const auto trie = std::make_shared<TokenTrie>(*tokenizer);
  // Which x was the marked one is not known for 2,500 characters: as many places as there were.
  const auto grammar = parse_grammar("root ::= [a-z]* \"x\" [a-z]{2500}", {.seconds = 60});
  ConstraintCursor cursor(std::make_shared<GrammarConstraint>(grammar, trie));
  TokenId x = -1;
  for (TokenId id = 0; id < tokenizer->vocab_size(); ++id)
    if (trie->bytes(id) == "x") x = id;
  ASSERT_GE(x, 0);
  std::string error;
  try {
    for (int i = 0; i < 2500; ++i) cursor.advance(x);
  } catch (const ConfigError& refused) {
    error = refused.what();
  }
  EXPECT_THAT(error, HasSubstr("too many ways"));
}

TEST(GrammarConstraint, ItsMemoryIsCountedAfterAMaskThatCouldNotBeMade) {
  const std::unique_ptr<Tokenizer> tokenizer = small_tokenizer();
  const auto grammar = parse_grammar("root ::= [a-z]* \"x\" [a-z]{2500}", {.seconds = 60});
  const auto constraint = std::make_shared<GrammarConstraint>(grammar, std::make_shared<TokenTrie>(*tokenizer));
  const TokenId x = tokenizer->encode("x").front();
  ConstraintCursor cursor(constraint);
  std::vector<float> logits(static_cast<size_t>(tokenizer->vocab_size()));
  const auto go_on = [&] {
    for (int i = 0; i < 2500; ++i) cursor.mask(logits), cursor.advance(x);
  };
  EXPECT_THROW(go_on(), ConfigError);
  EXPECT_GT(constraint->bytes(), 0u);
}

TEST(GrammarConstraint, ItsMemoryIsCountedWithThatOfItsGrammar) {
  const std::unique_ptr<Tokenizer> tokenizer = small_tokenizer();
  const auto grammar = parse_grammar("root ::= \"" + std::string(10'000, 'x') + "\"", {.seconds = 60});
  GrammarConstraint constraint(grammar, std::make_shared<TokenTrie>(*tokenizer));
  EXPECT_GT(constraint.bytes(), 10'000 * sizeof(Grammar::State));
}

// 2^n sets of places: where the x stood in the last n letters.
TEST(GrammarAutomaton, AGrammarOfTooManyStatesIsRefusedBeforeItsMemoryGrows) {
  GrammarAutomaton automaton(parse_grammar("root ::= [a-z]* \"x\" [a-z]{24}", {.seconds = 60}));
  std::mt19937 random(1);
  GrammarAutomaton::StateId state = automaton.start();
  std::string error;
  try {
    for (int i = 0; i < 1'000'000; ++i) state = automaton.step(state, random() % 2 == 0 ? 'x' : 'y');
  } catch (const ConfigError& refused) {
    error = refused.what();
  }
  EXPECT_THAT(error, HasSubstr("too much memory"));
  EXPECT_NE(automaton.step(automaton.start(), 'y'), GrammarAutomaton::kDead);  // what was met before stays
  EXPECT_LE(automaton.bytes(), GrammarAutomaton::kMaxBytes);
}

}  // namespace
}  // namespace starling
