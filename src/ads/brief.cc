#include "ads/brief.h"

#include <fmt/format.h>
#include <re2/re2.h>
#include <unicode/gregocal.h>
#include <unicode/timezone.h>
#include <unicode/ucurr.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/config.h"
#include "core/error.h"
#include "core/json.h"
#include "core/time.h"
#include "core/toml.h"

namespace starling {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxBriefBytes = 256 << 10;
constexpr size_t kMaxFacts = 200, kMaxAudiences = 20, kMaxPhrases = 50, kMaxTextBytes = 1000;
constexpr int64_t kMaxMicros = int64_t{1'000'000'000} * 1'000'000;
constexpr int64_t kDefaultBidMicros = 20'000;
// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z: other years have no ISO text to be stored as.
constexpr int64_t kFirstTime_s = -62135596800, kLastTime_s = 253402300799;

const std::vector<std::string> kBriefKeys = {"advertiser",
                                             "payer",
                                             "product",
                                             "landing_page",
                                             "tone",
                                             "language",
                                             "facts",
                                             "find_audiences",
                                             "audiences",
                                             "must",
                                             "must_not",
                                             "budget",
                                             "max_bid",
                                             "currency",
                                             "time_zone",
                                             "start",
                                             "end",
                                             "max_graphemes",
                                             "variants_per_audience",
                                             "frequency_cap"};
const std::vector<std::string> kFactKeys = {"id", "name", "value", "unit", "valid_from", "valid_to"};
const std::vector<std::string> kAudienceKeys = {"name", "query"};

using Lines = std::map<std::string, int>;  // "facts[0].value" -> line of the file

// The brief's TOML as the same JSON that HTTP takes; dates become their ISO text.
Json json_of(const toml::node& node, const std::string& path, Lines& lines) {
  lines[path] = static_cast<int>(node.source().begin.line);
  if (const auto* table = node.as_table()) {
    Json object = Json::object();
    for (const auto& [key, value] : *table) {
      const std::string name(key.str());
      object[name] = json_of(value, path.empty() ? name : path + "." + name, lines);
      lines[path.empty() ? name : path + "." + name] = static_cast<int>(key.source().begin.line);
    }
    return object;
  }
  if (const auto* array = node.as_array()) {
    Json list = Json::array();
    for (size_t i = 0; i < array->size(); ++i)
      list.push_back(json_of((*array)[i], fmt::format("{}[{}]", path, i), lines));
    return list;
  }
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* integer = node.as_integer()) return integer->get();
  if (const auto* number = node.as_floating_point()) return number->get();
  if (const auto* boolean = node.as_boolean()) return boolean->get();
  std::ostringstream iso;
  if (const auto* date = node.as_date()) iso << date->get();
  if (const auto* time = node.as_time()) iso << time->get();
  if (const auto* moment = node.as_date_time()) iso << moment->get();
  return iso.str();
}

// Reads one object of the brief; every complaint carries the file and, for TOML, the line.
class Reader {
 public:
  Reader(const Json& object, std::string path, const std::string& source, const Lines& lines)
      : object_(object), path_(std::move(path)), source_(source), lines_(lines) {
    if (!object_.is_object()) fail("", "is not a table of keys and values");
  }

  [[noreturn]] void fail(const std::string& key, const std::string& message) const {
    const std::string full = path_.empty() ? key : key.empty() ? path_ : path_ + "." + key;
    const auto line = lines_.find(full);
    const std::string where = line == lines_.end() ? source_ : fmt::format("{}:{}", source_, line->second);
    throw ConfigError(fmt::format("{}: {}{}{}", where, full.empty() ? "the brief" : "`" + full + "`",
                                  message.empty() ? "" : " ", message));
  }

  void only(const std::vector<std::string>& known) const {
    for (const auto& [key, value] : object_.items()) {
      if (std::find(known.begin(), known.end(), key) != known.end()) continue;
      fail(key, fmt::format("is not a key of a brief; did you mean `{}`?", nearest_word(key, known)));
    }
  }

  bool has(const std::string& key) const { return object_.contains(key) && !object_[key].is_null(); }

  std::string text(const std::string& key, bool required) const {
    if (!has(key)) {
      if (required) fail(path_.empty() ? key : "", path_.empty() ? "is missing" : fmt::format("has no `{}`", key));
      return {};
    }
    if (!object_[key].is_string()) fail(key, "must be text in quotes");
    std::string value = object_[key].get<std::string>();
    check_text(key, value);
    if (required && value.empty()) fail(key, "is empty");
    return value;
  }

  // A fact's value may be written as text, a number or true and false.
  std::string value(const std::string& key) const {
    if (!has(key)) fail("", fmt::format("has no `{}`", key));
    const Json& value = object_[key];
    if (value.is_string()) return text(key, true);
    if (value.is_boolean()) return value.get<bool>() ? "true" : "false";
    if (value.is_number()) return dump_json(value);
    fail(key, "must be text, a number, true or false");
  }

  int64_t integer(const std::string& key, int64_t fallback, int64_t low, int64_t high) const {
    if (!has(key)) return fallback;
    if (!object_[key].is_number_integer()) fail(key, "must be a whole number");
    const int64_t value = object_[key].get<int64_t>();
    if (value < low || value > high) fail(key, fmt::format("must be from {} to {}", low, high));
    return value;
  }

  bool boolean(const std::string& key) const {
    if (!has(key)) return false;
    if (!object_[key].is_boolean()) fail(key, "must be true or false");
    return object_[key].get<bool>();
  }

  // Money in whole units of the currency, as a number or as text: 50, 12.5, "0.02".
  int64_t micros(const std::string& key, std::optional<int64_t> fallback) const {
    if (!has(key)) {
      if (!fallback) fail(key, "is missing");
      return *fallback;
    }
    double amount = 0;
    const Json& value = object_[key];
    static const RE2 decimal(R"(\d{1,12}(\.\d{1,6})?)");
    if (value.is_number()) {
      amount = value.get<double>();
    } else if (value.is_string() && RE2::FullMatch(value.get<std::string>(), decimal)) {
      amount = std::stod(value.get<std::string>());
    } else {
      fail(key, "must be an amount such as 50 or \"12.50\"");
    }
    const double micros = amount * 1e6;
    if (!(micros >= 1) || micros > static_cast<double>(kMaxMicros))
      fail(key, "must be more than 0 and at most a thousand million");
    return std::llround(micros);
  }

  std::vector<std::string> phrases(const std::string& key) const {
    std::vector<std::string> found;
    if (!has(key)) return found;
    if (!object_[key].is_array() || object_[key].size() > kMaxPhrases)
      fail(key, fmt::format("must be a list of at most {} phrases", kMaxPhrases));
    for (const Json& phrase : object_[key]) {
      if (!phrase.is_string() || phrase.get<std::string>().empty()) fail(key, "must hold only phrases in quotes");
      check_text(key, phrase.get<std::string>());
      found.push_back(phrase.get<std::string>());
    }
    return found;
  }

  std::vector<Reader> tables(const std::string& key, size_t most) const {
    std::vector<Reader> found;
    if (!has(key)) return found;
    if (!object_[key].is_array()) fail(key, fmt::format("must be a list of tables: [[{}]]", key));
    if (object_[key].size() > most) fail(key, fmt::format("holds {}; the most is {}", object_[key].size(), most));
    for (size_t i = 0; i < object_[key].size(); ++i)
      found.emplace_back(object_[key][i], fmt::format("{}[{}]", key, i), source_, lines_);
    return found;
  }

 private:
  void check_text(const std::string& key, const std::string& value) const {
    if (value.size() > kMaxTextBytes)
      fail(key, fmt::format("is {} bytes long; the most is {}", value.size(), kMaxTextBytes));
    for (const unsigned char c : value) {
      if (c < 0x20 || c == 0x7f) fail(key, "holds a control character");
    }
  }

  const Json& object_;
  std::string path_;
  const std::string& source_;
  const Lines& lines_;
};

// The first second of a day ("2026-12-24") in a time zone; days > 0 moves on by whole days, whatever their length.
int64_t day_start_s(int64_t utc_midnight_s, const std::string& time_zone, int days) {
  UErrorCode status = U_ZERO_ERROR;
  icu::GregorianCalendar calendar(icu::TimeZone::createTimeZone(icu::UnicodeString::fromUTF8(time_zone)), status);
  const std::string day = format_day(utc_midnight_s);
  calendar.clear();
  calendar.set(std::stoi(day.substr(0, 4)), std::stoi(day.substr(5, 2)) - 1, std::stoi(day.substr(8, 2)), 0, 0, 0);
  calendar.add(UCAL_DATE, days, status);
  const double time_ms = calendar.getTime(status);
  if (U_FAILURE(status) != 0) throw ConfigError(fmt::format("time zone {}: {}", time_zone, u_errorName(status)));
  return static_cast<int64_t>(std::floor(time_ms / 1000));
}

// A day stands for its first second, or for the first second after it when it ends a period.
std::optional<int64_t> moment(const Reader& reader, const std::string& key, const std::string& time_zone, bool ends) {
  const std::string text = reader.text(key, false);
  if (text.empty()) return std::nullopt;
  const std::optional<int64_t> time_s = parse_time(text);
  if (!time_s || *time_s < kFirstTime_s || *time_s > kLastTime_s)
    reader.fail(key, "must be a day or a time such as 2026-12-24 or 2026-12-24T18:00:00Z");
  const bool is_day = text.size() == 10 && text[4] == '-';  // ten digits are seconds
  return is_day ? std::clamp(day_start_s(*time_s, time_zone, ends ? 1 : 0), kFirstTime_s, kLastTime_s) : *time_s;
}

void read_names(const Reader& reader, Brief& brief) {
  brief.advertiser = reader.text("advertiser", true);
  brief.payer = reader.text("payer", true);
  brief.product = reader.text("product", true);
  brief.tone = reader.text("tone", false);
  if (reader.has("language")) brief.language = reader.text("language", true);
  static const RE2 language("[a-z]{2,3}");
  if (!RE2::FullMatch(brief.language, language)) reader.fail("language", "must be an ISO 639 code such as \"en\"");
  brief.landing_page = reader.text("landing_page", true);
  static const RE2 url(R"(https://[A-Za-z0-9.-]+\.[A-Za-z]{2,}(:\d+)?(/[^\s<>"]*)?)");
  if (!RE2::FullMatch(brief.landing_page, url))
    reader.fail("landing_page", "must be a URL such as https://example.com/offer");
  brief.must = reader.phrases("must");
  brief.must_not = reader.phrases("must_not");
}

void read_money_and_time(const Reader& reader, Brief& brief) {
  brief.currency = reader.text("currency", true);
  UErrorCode status = U_ZERO_ERROR;
  static const RE2 code("[A-Z]{3}");
  if (!RE2::FullMatch(brief.currency, code) ||
      !ucurr_isAvailable(icu::UnicodeString::fromUTF8(brief.currency).getTerminatedBuffer(), U_DATE_MIN, U_DATE_MAX,
                         &status)) {
    reader.fail("currency", "must be an ISO 4217 code such as \"USD\"");
  }
  brief.budget_micros = reader.micros("budget", std::nullopt);
  brief.max_bid_micros = reader.micros("max_bid", std::min(kDefaultBidMicros, brief.budget_micros));
  if (brief.max_bid_micros > brief.budget_micros) reader.fail("max_bid", "is more than the budget");
  if (reader.has("time_zone")) brief.time_zone = reader.text("time_zone", true);
  const std::unique_ptr<icu::TimeZone> zone(
      icu::TimeZone::createTimeZone(icu::UnicodeString::fromUTF8(brief.time_zone)));
  if (*zone == icu::TimeZone::getUnknown()) reader.fail("time_zone", "must be an IANA name such as \"Europe/Berlin\"");
  brief.starts_s = moment(reader, "start", brief.time_zone, false);
  brief.ends_s = moment(reader, "end", brief.time_zone, true);
  if (brief.starts_s && brief.ends_s && *brief.starts_s >= *brief.ends_s) reader.fail("end", "is before `start`");
}

Fact read_fact(const Reader& reader, const std::string& time_zone) {
  reader.only(kFactKeys);
  Fact fact;
  fact.id = reader.text("id", true);
  static const RE2 id("[a-z0-9][a-z0-9_-]{0,63}");
  if (!RE2::FullMatch(fact.id, id)) reader.fail("id", "must be lower-case letters, digits, - and _");
  fact.name = reader.text("name", true);
  fact.value = reader.value("value");
  fact.unit = reader.text("unit", false);
  fact.valid_from_s = moment(reader, "valid_from", time_zone, false);
  fact.valid_to_s = moment(reader, "valid_to", time_zone, true);
  if (fact.valid_from_s && fact.valid_to_s && *fact.valid_from_s >= *fact.valid_to_s)
    reader.fail("valid_to", "is before `valid_from`");
  return fact;
}

void read_facts_and_audiences(const Reader& reader, Brief& brief) {
  std::set<std::string> ids;
  for (const Reader& table : reader.tables("facts", kMaxFacts)) {
    brief.facts.push_back(read_fact(table, brief.time_zone));
    if (!ids.insert(brief.facts.back().id).second)
      table.fail("id", fmt::format("`{}` is the id of an earlier fact too", brief.facts.back().id));
  }
  if (brief.facts.empty()) reader.fail("facts", "is missing: an ad may say only what a fact attests");
  brief.find_audiences = reader.boolean("find_audiences");
  for (const Reader& table : reader.tables("audiences", kMaxAudiences)) {
    table.only(kAudienceKeys);
    brief.audiences.push_back({table.text("name", true), table.text("query", true)});
  }
  if (!brief.find_audiences && brief.audiences.empty()) {
    reader.fail("audiences", "is missing: name some, or let Starling find them with `find_audiences = true`");
  }
}

Brief read_brief(const Json& json, const std::string& source, const Lines& lines) {
  const Reader reader(json, "", source, lines);
  reader.only(kBriefKeys);
  Brief brief;
  read_names(reader, brief);
  read_money_and_time(reader, brief);
  read_facts_and_audiences(reader, brief);
  brief.max_graphemes = static_cast<int>(reader.integer("max_graphemes", brief.max_graphemes, 20, 2000));
  brief.variants_per_audience =
      static_cast<int>(reader.integer("variants_per_audience", brief.variants_per_audience, 1, 20));
  brief.frequency_cap = static_cast<int>(reader.integer("frequency_cap", brief.frequency_cap, 1, 1000));
  return brief;
}

void check_size(std::string_view text, const std::string& source) {
  if (text.size() > kMaxBriefBytes)
    throw ConfigError(
        fmt::format("{}: the brief is {} bytes long; the most is {}", source, text.size(), kMaxBriefBytes));
}

}  // namespace

const Fact* Brief::fact(std::string_view id) const {
  for (const Fact& fact : facts) {
    if (fact.id == id) return &fact;
  }
  return nullptr;
}

Brief brief_from_toml(std::string_view text, const std::string& source) {
  check_size(text, source);
  Lines lines;
  const Json json = json_of(parse_toml(text, source), "", lines);
  lines.erase("");
  return read_brief(json, source, lines);
}

Brief brief_from_json(std::string_view text, const std::string& source) {
  check_size(text, source);
  return stored_brief(text, source);
}

Brief stored_brief(std::string_view text, const std::string& source) {
  try {
    return read_brief(parse_json(text), source, {});
  } catch (const Json::exception& error) {
    throw ConfigError(fmt::format("{}: {}", source, error.what()));
  }
}

}  // namespace starling
