#include "tokenizer/tokenizer_json.h"

#include <fmt/format.h>

#include <set>

#include "core/error.h"
#include "core/json.h"
#include "tokenizer/byte_alphabet.h"

namespace starling {
namespace {

using Json = nlohmann::json;

constexpr size_t kLargestVocabulary = 1 << 24;

// ---- writing. The vocabulary is written by hand in the order of ids: a JSON object would sort it by name.

std::string json_text(std::string_view text) { return dump_json(Json(text)); }

std::string added_tokens_json(const std::vector<SpecialToken>& special, const std::vector<SpecialToken>& markers) {
  std::string json;
  for (const auto* added : {&special, &markers})
    for (const SpecialToken& token : *added)
      json += fmt::format(
          "{}\n    {{\"id\": {}, \"content\": {}, \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
          "\"normalized\": false, \"special\": {}}}",
          json.empty() ? "" : ",", token.id, json_text(token.text), added == &special);
  return json;
}

std::string vocabulary_json(const std::vector<std::string>& texts) {
  std::string json;
  for (size_t id = 0; id < texts.size(); ++id) {
    json += fmt::format("{}\n      {}: {}", id == 0 ? "" : ",", json_text(texts[id]), id);
  }
  return json;
}

std::string merges_json(const std::vector<Merge>& merges, const std::vector<std::string>& texts) {
  std::string json;
  for (const Merge& merge : merges) {
    json +=
        fmt::format("{}\n      {}", json.empty() ? "" : ",", json_text(texts[merge.left] + " " + texts[merge.right]));
  }
  return json;
}

// One text between its frame's tokens, as a TemplateProcessing step.
std::string frame_json(const TextFrame& frame, const std::vector<std::string>& texts) {
  if (!frame.given) return "null";
  std::string single, tokens;
  std::set<TokenId> declared;
  const auto add_special = [&](TokenId id) {
    const std::string text = json_text(texts[id]);
    single += fmt::format(R"({}{{"SpecialToken": {{"id": {}, "type_id": 0}}}})", single.empty() ? "" : ", ", text);
    if (!declared.insert(id).second) return;
    tokens += fmt::format(R"({}{}: {{"id": {}, "ids": [{}], "tokens": [{}]}})", tokens.empty() ? "" : ", ", text, text,
                          id, text);
  };
  for (const TokenId id : frame.before) add_special(id);
  single += fmt::format(R"({}{{"Sequence": {{"id": "A", "type_id": 0}}}})", single.empty() ? "" : ", ");
  for (const TokenId id : frame.after) add_special(id);
  return fmt::format(
      R"({{"type": "TemplateProcessing", "single": [{}], "pair": [{}, {{"Sequence": {{"id": "B", "type_id": 1}}}}], "special_tokens": {{{}}}}})",
      single, single, tokens);
}

struct JsonParts {
  std::string_view normalizer, pre_tokenizer, decoder, model_options;
  const TextFrame& frame;
  const std::vector<SpecialToken>&special, &markers;
  const std::vector<std::string>& texts;
  const std::vector<Merge>& merges;
};

std::string tokenizer_json(const JsonParts& parts) {
  return fmt::format(
      "{{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [{}\n  ],\n"
      "  \"normalizer\": {},\n  \"pre_tokenizer\": {},\n  \"post_processor\": {},\n  \"decoder\": {},\n"
      "  \"model\": {{\n    \"type\": \"BPE\",\n    {},\n    \"vocab\": {{{}\n    }},\n    \"merges\": [{}\n    ]\n  "
      "}}\n}}\n",
      added_tokens_json(parts.special, parts.markers), parts.normalizer, parts.pre_tokenizer,
      frame_json(parts.frame, parts.texts), parts.decoder, parts.model_options, vocabulary_json(parts.texts),
      merges_json(parts.merges, parts.texts));
}

// ---- reading

// Thrown with the place in the file: "tokenizer.json: model.merges[3]: ...".
class Reader {
 public:
  Reader(std::string_view text, std::string where) : where_(std::move(where)) {
    try {
      root_ = parse_json(text);
    } catch (const Json::exception& error) {
      fail("", fmt::format("is not JSON: {}", error.what()));
    }
    if (!root_.is_object()) fail("", "is not a JSON object");
  }

  [[noreturn]] void fail(std::string_view place, const std::string& what) const {
    throw DataError(fmt::format("{}: {}{}{}", where_, place, place.empty() ? "" : ": ", what));
  }

  const Json& root() const { return root_; }

  // A member that may be missing or null.
  static const Json* find(const Json& object, const char* name) {
    if (!object.is_object()) return nullptr;
    const auto found = object.find(name);
    return found == object.end() || found->is_null() ? nullptr : &*found;
  }

  static std::string text_or(const Json& object, const char* name, const std::string& fallback) {
    const Json* value = find(object, name);
    return value && value->is_string() ? value->get<std::string>() : fallback;
  }

  static bool true_or(const Json& object, const char* name, bool fallback) {
    const Json* value = find(object, name);
    return value && value->is_boolean() ? value->get<bool>() : fallback;
  }

  // The object itself, or its members when it is a Sequence of `list`.
  static std::vector<Json> steps(const Json* object, const char* list) {
    if (!object) return {};
    const Json* members = find(*object, list);
    if (text_or(*object, "type", "") != "Sequence" || !members || !members->is_array()) return {*object};
    return {members->begin(), members->end()};
  }

 private:
  std::string where_;
  Json root_;
};

// What both kinds share: the texts by id, the added tokens, and the merges.
struct BpeParts {
  std::vector<std::string> texts;
  std::unordered_map<std::string, TokenId> ids;
  std::vector<SpecialToken> special, markers;
  std::vector<bool> is_added;  // by id
  std::vector<Merge> merges;
};

TokenId read_id(const Reader& reader, const Json& value, std::string_view place) {
  if (!value.is_number_integer() || value < 0 || value >= kLargestVocabulary) {
    reader.fail(place,
                fmt::format("the id {} is not a whole number from 0 to {}", dump_json(value), kLargestVocabulary - 1));
  }
  return value.get<TokenId>();
}

void place_token(const Reader& reader, BpeParts& parts, const std::string& text, TokenId id, std::string_view place) {
  if (static_cast<size_t>(id) >= parts.texts.size())
    reader.fail(place, fmt::format("id {} leaves a gap before it", id));
  std::string& slot = parts.texts[id];
  if (!slot.empty() && slot != text)
    reader.fail(place, fmt::format("id {} is given to {} and {}", id, json_text(slot), json_text(text)));
  slot = text;
  parts.ids.emplace(text, id);
}

void read_tokens(const Reader& reader, const Json& model, BpeParts& parts) {
  const Json* vocab = Reader::find(model, "vocab");
  if (!vocab || !vocab->is_object()) reader.fail("model.vocab", "is missing or not an object");
  const Json* added = Reader::find(reader.root(), "added_tokens");
  if (added && !added->is_array()) reader.fail("added_tokens", "is not an array");
  size_t count = vocab->size();
  for (const Json& token : added ? *added : Json::array())
    count += vocab->contains(Reader::text_or(token, "content", "")) ? 0 : 1;
  parts.texts.resize(count);
  parts.is_added.assign(count, false);
  for (const auto& [text, id] : vocab->items()) {
    if (text.empty()) reader.fail("model.vocab", "has an empty token");
    place_token(reader, parts, text, read_id(reader, id, "model.vocab"), "model.vocab");
  }
  for (const Json& token : added ? *added : Json::array()) {
    const std::string text = Reader::text_or(token, "content", "");
    const Json* id = Reader::find(token, "id");
    if (text.empty() || !id) reader.fail("added_tokens", "a token has no content or no id");
    const TokenId added_id = read_id(reader, *id, "added_tokens");
    place_token(reader, parts, text, added_id, "added_tokens");
    if (parts.is_added[added_id]) reader.fail("added_tokens", fmt::format("id {} is there twice", added_id));
    parts.is_added[added_id] = true;
    (Reader::true_or(token, "special", true) ? parts.special : parts.markers).push_back({.id = added_id, .text = text});
  }
  for (size_t id = 0; id < count; ++id) {
    if (parts.texts[id].empty()) reader.fail("model.vocab", fmt::format("no token has the id {}", id));
  }
}

// "left right", or ["left", "right"] as newer files have it.
std::pair<std::string, std::string> read_pair(const Reader& reader, const Json& entry, std::string_view place) {
  if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string())
    return {entry[0], entry[1]};
  const std::string text = entry.is_string() ? entry.get<std::string>() : "";
  const size_t space = text.find(' ');
  if (space == std::string::npos) reader.fail(place, "is not a pair of tokens");
  return {text.substr(0, space), text.substr(space + 1)};
}

void read_merges(const Reader& reader, const Json& model, BpeParts& parts) {
  const Json* merges = Reader::find(model, "merges");
  if (!merges || !merges->is_array()) reader.fail("model.merges", "is missing or not an array");
  for (size_t i = 0; i < merges->size(); ++i) {
    const std::string place = fmt::format("model.merges[{}]", i);
    const auto [left, right] = read_pair(reader, (*merges)[i], place);
    const auto id_of = [&](const std::string& text) {
      const auto found = parts.ids.find(text);
      if (found == parts.ids.end()) reader.fail(place, fmt::format("{} is not in the vocabulary", json_text(text)));
      return found->second;
    };
    parts.merges.push_back(
        {.left = id_of(left), .right = id_of(right), .merged = id_of(left + right), .rank = static_cast<int32_t>(i)});
  }
}

void check_model(const Reader& reader, const Json& model) {
  const std::string type = Reader::text_or(model, "type", "BPE");
  if (type != "BPE") reader.fail("model.type", fmt::format("{} is not supported, only BPE", json_text(type)));
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!Reader::text_or(model, name, "").empty()) reader.fail(fmt::format("model.{}", name), "is not supported");
  }
}

SplitPattern read_split(const Reader& reader) {
  std::optional<SplitPattern> pattern;
  bool single_digits = false;
  const std::string_view place = "pre_tokenizer";
  for (const Json& step : Reader::steps(Reader::find(reader.root(), "pre_tokenizer"), "pretokenizers")) {
    const std::string type = Reader::text_or(step, "type", "");
    if (type == "Digits" && Reader::true_or(step, "individual_digits", false) && !pattern) {
      single_digits = true;
    } else if (type == "ByteLevel") {
      if (Reader::true_or(step, "add_prefix_space", false)) reader.fail(place, "add_prefix_space is not supported");
      if (!Reader::true_or(step, "use_regex", true)) continue;
      if (pattern) reader.fail(place, "two split patterns, one after the other, are not supported");
      pattern = SplitPattern::kGpt2;
    } else if (type == "Split") {
      if (pattern) reader.fail(place, "two split patterns, one after the other, are not supported");
      if (Reader::text_or(step, "behavior", "") != "Isolated" || Reader::true_or(step, "invert", false))
        reader.fail(place, "a Split is supported with behavior \"Isolated\", not inverted");
      const Json* expression = Reader::find(step, "pattern");
      const std::string regex = expression ? Reader::text_or(*expression, "Regex", "") : "";
      pattern = split_pattern_of(regex);
      if (!pattern) reader.fail(place, fmt::format("the split pattern {} is not supported", json_text(regex)));
    } else {
      reader.fail(place, fmt::format("{} is not supported for a byte-level vocabulary", json_text(type)));
    }
  }
  if (!pattern) reader.fail(place, "is missing; a byte-level vocabulary needs ByteLevel, or Split and ByteLevel");
  if (single_digits && *pattern != SplitPattern::kGpt2)
    reader.fail(place, "Digits is supported only before GPT-2's pattern");
  return single_digits ? SplitPattern::kGpt2Digits : *pattern;
}

// The tokens that a TemplateProcessing step puts around one text; the other steps of this kind only move offsets.
TextFrame read_frame(const Reader& reader, const BpeParts& parts) {
  TextFrame frame;
  for (const Json& step : Reader::steps(Reader::find(reader.root(), "post_processor"), "processors")) {
    const std::string type = Reader::text_or(step, "type", "");
    frame.given = true;
    if (type == "ByteLevel") continue;
    const Json* single = Reader::find(step, "single");
    if (type != "TemplateProcessing" || !single || !single->is_array())
      reader.fail("post_processor", fmt::format("{} is not supported", json_text(type)));
    bool after = false;
    for (const Json& entry : *single) {
      const Json* token = Reader::find(entry, "SpecialToken");
      if (!token) {
        after = true;
        continue;
      }
      const auto id = parts.ids.find(Reader::text_or(*token, "id", ""));
      if (id == parts.ids.end() || !parts.is_added[id->second])
        reader.fail("post_processor", fmt::format("{} is not an added token", token->dump()));
      (after ? frame.after : frame.before).push_back(id->second);
    }
  }
  return frame;
}

bool read_nfc(const Reader& reader) {
  bool nfc = false;
  for (const Json& step : Reader::steps(Reader::find(reader.root(), "normalizer"), "normalizers")) {
    const std::string type = Reader::text_or(step, "type", "");
    if (type != "NFC") reader.fail("normalizer", fmt::format("{} is not supported, only NFC", json_text(type)));
    nfc = true;
  }
  return nfc;
}

std::unique_ptr<Tokenizer> read_byte_level(const Reader& reader, const Json& model, BpeParts parts) {
  ByteLevelVocabulary vocabulary{.special = std::move(parts.special),
                                 .markers = std::move(parts.markers),
                                 .merges = std::move(parts.merges),
                                 .frame = read_frame(reader, parts)};
  vocabulary.pattern = read_split(reader);
  vocabulary.normalize_nfc = read_nfc(reader);
  vocabulary.whole_pieces_first = Reader::true_or(model, "ignore_merges", false);
  for (size_t id = 0; id < parts.texts.size(); ++id) {
    if (parts.is_added[id]) {
      vocabulary.tokens.push_back(parts.texts[id]);
      continue;
    }
    std::optional<std::string> bytes = from_byte_alphabet(parts.texts[id]);
    if (!bytes)
      reader.fail("model.vocab", fmt::format("{} is not written in the byte alphabet", json_text(parts.texts[id])));
    vocabulary.tokens.push_back(std::move(*bytes));
  }
  return std::make_unique<ByteLevelBpe>(std::move(vocabulary));
}

// Prepend and Replace as normalizer, or Metaspace as pre-tokenizer: both write spaces as "▁". Whether one is put in
// front.
bool read_sentencepiece_steps(const Reader& reader) {
  bool prepends = false, replaces = false;
  for (const Json& step : Reader::steps(Reader::find(reader.root(), "normalizer"), "normalizers")) {
    const std::string type = Reader::text_or(step, "type", "");
    if (type == "Prepend" && Reader::text_or(step, "prepend", "") == kSpaceMark) prepends = true;
    else if (type == "Replace" && Reader::text_or(step, "content", "") == kSpaceMark) replaces = true;
    else reader.fail("normalizer", fmt::format("{} is not supported", dump_json(step)));
  }
  for (const Json& step : Reader::steps(Reader::find(reader.root(), "pre_tokenizer"), "pretokenizers")) {
    const bool whole = Reader::text_or(step, "type", "") == "Metaspace" && !Reader::true_or(step, "split", true);
    if (!whole) reader.fail("pre_tokenizer", fmt::format("{} is not supported", dump_json(step)));
    replaces = true;
    prepends = prepends || Reader::text_or(step, "prepend_scheme", "always") != "never";
  }
  if (!replaces) reader.fail("normalizer", "spaces are not turned into \"\u2581\"; only that is supported");
  return prepends;
}

std::unique_ptr<Tokenizer> read_sentencepiece(const Reader& reader, const Json& model, BpeParts parts) {
  const bool space_first = read_sentencepiece_steps(reader);
  // Merges that make the same piece share a rank, as the same score does: the leftmost goes first.
  for (size_t i = 1; i < parts.merges.size(); ++i) {
    Merge& merge = parts.merges[i];
    if (merge.merged == parts.merges[i - 1].merged) merge.rank = parts.merges[i - 1].rank;
  }
  std::erase_if(parts.markers, [](const SpecialToken& token) { return is_ordinary_piece(token.text); });
  TextFrame frame = read_frame(reader, parts);
  return std::make_unique<SentencePieceBpe>(
      SentencePieceVocabulary{.pieces = std::move(parts.texts),
                              .special = std::move(parts.special),
                              .markers = std::move(parts.markers),
                              .merges = std::move(parts.merges),
                              .unknown_piece = Reader::text_or(model, "unk_token", "<unk>"),
                              .frame = std::move(frame),
                              .space_first = space_first});
}

}  // namespace

std::string byte_level_json(const ByteLevelVocabulary& vocabulary) {
  std::vector<std::string> texts;
  for (const std::string& token : vocabulary.tokens) texts.push_back(to_byte_alphabet(token));
  for (const auto* added : {&vocabulary.special, &vocabulary.markers})
    for (const SpecialToken& token : *added) texts[token.id] = token.text;
  const std::string byte_level =
      R"({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": )";
  std::string pre_tokenizer = byte_level + "true}";
  if (vocabulary.pattern == SplitPattern::kGpt2Digits) {
    pre_tokenizer =
        fmt::format(R"({{"type": "Sequence", "pretokenizers": [{{"type": "Digits", "individual_digits": true}}, {}]}})",
                    pre_tokenizer);
  } else if (vocabulary.pattern != SplitPattern::kGpt2) {
    pre_tokenizer = fmt::format(
        R"({{"type": "Sequence", "pretokenizers": [{{"type": "Split", "pattern": {{"Regex": {}}}, "behavior": "Isolated", "invert": false}}, {}false}}]}})",
        json_text(split_regex(vocabulary.pattern)), byte_level);
  }
  const std::string options = fmt::format(
      R"("dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": {})",
      vocabulary.whole_pieces_first);
  return tokenizer_json({.normalizer = vocabulary.normalize_nfc ? R"({"type": "NFC"})" : "null",
                         .pre_tokenizer = pre_tokenizer,
                         .decoder = byte_level + "true}",
                         .model_options = options,
                         .frame = vocabulary.frame,
                         .special = vocabulary.special,
                         .markers = vocabulary.markers,
                         .texts = texts,
                         .merges = vocabulary.merges});
}

std::string sentencepiece_json(const SentencePieceVocabulary& vocabulary) {
  const std::string options = fmt::format(
      R"("dropout": null, "unk_token": {}, "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false)",
      json_text(vocabulary.unknown_piece));
  const std::string prepend = vocabulary.space_first ? R"({"type": "Prepend", "prepend": "▁"}, )" : "";
  const std::string strip =
      vocabulary.space_first ? R"(, {"type": "Strip", "content": " ", "start": 1, "stop": 0})" : "";
  return tokenizer_json(
      {.normalizer = R"({"type": "Sequence", "normalizers": [)" + prepend +
                     R"({"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]})",
       .pre_tokenizer = "null",
       .decoder =
           R"({"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, )"
           R"({"type": "ByteFallback"}, {"type": "Fuse"})" +
           strip + "]}",
       .model_options = options,
       .frame = vocabulary.frame,
       .special = vocabulary.special,
       .markers = vocabulary.markers,
       .texts = vocabulary.pieces,
       .merges = vocabulary.merges});
}

std::unique_ptr<Tokenizer> tokenizer_from_json(std::string_view json, const std::string& where) {
  const Reader reader(json, where);
  const Json* model = Reader::find(reader.root(), "model");
  if (!model || !model->is_object()) reader.fail("model", "is missing; is this a tokenizer.json?");
  check_model(reader, *model);
  BpeParts parts;
  read_tokens(reader, *model, parts);
  read_merges(reader, *model, parts);
  try {
    const bool byte_fallback = Reader::true_or(*model, "byte_fallback", false);
    return byte_fallback ? read_sentencepiece(reader, *model, std::move(parts))
                         : read_byte_level(reader, *model, std::move(parts));
  } catch (const DataError& error) {
    if (std::string_view(error.what()).starts_with(where)) throw;
    reader.fail("model.vocab", error.what());
  }
}

}  // namespace starling
