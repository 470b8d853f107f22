#include "search/query.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "core/error.h"
#include "core/time.h"
#include "search/words.h"

namespace starling {
namespace {

constexpr int64_t kLastTime_s = 253402300799;  // of the year 9999; more seconds than that are a slip, and may overflow
using Kind = QueryAtom::Kind;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool is_plain(const QueryClause& clause) {
  return std::all_of(clause.alternatives.begin(), clause.alternatives.end(),
                     [](const QueryAtom& atom) { return atom.kind == Kind::word; });
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Query parse() {
    if (text_.size() > kMaxQueryBytes)
      fail(kMaxQueryBytes, fmt::format("the query has {} bytes; at most {} are allowed", text_.size(), kMaxQueryBytes));
    for (skip_spaces(); at_ < text_.size(); skip_spaces()) parse_item();
    if (or_pending_) fail(at_, "OR needs a word, phrase, tag or name after it");
    check_meaning();
    return std::move(query_);
  }

 private:
  [[noreturn]] void fail(size_t position, const std::string& what) const {
    throw DataError(fmt::format("query, position {}: {}", position + 1, what));
  }

  void skip_spaces() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }

  std::string_view take_until_space() {
    const size_t begin = at_;
    while (at_ < text_.size() && !is_space(text_[at_]) && text_[at_] != '"') ++at_;
    return text_.substr(begin, at_ - begin);
  }

  void parse_item() {
    const size_t begin = at_;
    char sign = text_[at_];
    if ((sign == '-' || sign == '+') && at_ + 1 < text_.size() && !is_space(text_[at_ + 1])) ++at_;
    else sign = 0;
    if (at_ < text_.size() && text_[at_] == '"') return add(parse_phrase(), sign, begin);
    const std::string_view token = take_until_space();
    if (token == "OR" && sign == 0) return parse_or(begin);
    if (parse_range(token, sign, begin)) return;
    if (auto atom = parse_field(token, begin)) return add(std::move(*atom), sign, begin);
    QueryAtom word{Kind::word, {}};
    for (Word& part : split_words(token)) word.words.push_back(std::move(part.text));
    // "can't-stop" is two words side by side: they belong together, as a phrase does.
    if (word.words.size() > 1) word.kind = Kind::phrase;
    if (!word.words.empty()) add(std::move(word), sign, begin);  // else only punctuation: means nothing
  }

  void parse_or(size_t begin) {
    if (query_.clauses.empty() || or_pending_ || !last_was_atom_)
      fail(begin, "OR needs a word, phrase, tag or name before it");
    if (query_.clauses.back().excluded) fail(begin, "OR cannot join an excluded item; write -a -b to exclude both");
    or_pending_ = true;
  }

  // What stands between the quotation mark here and the next one.
  std::string_view take_quoted() {
    const size_t open = at_++;
    const size_t close = text_.find('"', at_);
    if (close == std::string_view::npos) fail(open, "this quotation mark is never closed");
    const std::string_view quoted = text_.substr(at_, close - at_);
    at_ = close + 1;
    return quoted;
  }

  QueryAtom parse_phrase() {
    const size_t open = at_;
    QueryAtom phrase{Kind::phrase, {}};
    for (Word& word : split_words(take_quoted())) phrase.words.push_back(std::move(word.text));
    if (phrase.words.empty()) fail(open, "this phrase has no word in it");
    return phrase;
  }

  std::optional<QueryAtom> parse_field(std::string_view token, size_t begin) {
    struct Field {
      std::string_view prefix;
      Kind kind;
    };
    static constexpr Field kFields[] = {{"from:", Kind::author},
                                        {"in:", Kind::community},
                                        {"lang:", Kind::language},
                                        {"#", Kind::hashtag},
                                        {"@", Kind::mention}};
    for (const Field& field : kFields) {
      if (!token.starts_with(field.prefix)) continue;
      std::string_view value = token.substr(field.prefix.size());
      const bool quoted = value.empty() && field.prefix.ends_with(':') && at_ < text_.size() && text_[at_] == '"';
      if (quoted) value = take_quoted();  // a name of several words
      if (field.kind == Kind::author && value.starts_with('@')) value.remove_prefix(1);
      if (field.prefix.size() == 1) value = trim_punctuation(value);
      if (!value.empty()) return QueryAtom{field.kind, {fold(value)}};
      if (field.prefix.size() == 1) return std::nullopt;  // a lone # or @
      fail(begin, fmt::format("`{}` needs a value right after the colon, as in `{}name`", field.prefix, field.prefix));
    }
    return std::nullopt;
  }

  // "#tag," and "@name:" in running text.
  static std::string_view trim_punctuation(std::string_view value) {
    while (!value.empty() && std::string_view(".,;:!?)(]['").find(value.back()) != std::string_view::npos)
      value.remove_suffix(1);
    return value;
  }

  bool parse_range(std::string_view token, char sign, size_t begin) {
    for (std::string_view name : {"since:", "until:", "min_likes:", "max_id:"}) {
      if (!token.starts_with(name)) continue;
      if (sign != 0 || or_pending_) fail(begin, fmt::format("`{}` cannot be excluded or joined by OR", name));
      if (++terms_ > kMaxQueryTerms) fail(begin, fmt::format("more than {} terms", kMaxQueryTerms));
      const std::string_view value = token.substr(name.size());
      if (name == "since:" || name == "until:") set_time(name, value, begin);
      else set_number(name, value, begin);
      last_was_atom_ = false;
      return true;
    }
    return false;
  }

  void set_time(std::string_view name, std::string_view value, size_t begin) {
    const std::optional<int64_t> time = parse_time(value);
    if (!time || *time < -kLastTime_s || *time > kLastTime_s)
      fail(begin, fmt::format("`{}` is not a time; write {}2017-03-01 or {}2017-03-01T12:00:00Z", value, name, name));
    if (name == "since:") query_.since_s = time;
    else query_.until_s = *time + (value.size() == 10 && value[4] == '-' ? kDay_s : 1);
  }

  void set_number(std::string_view name, std::string_view value, size_t begin) {
    uint64_t number = 0;
    const auto [end, code] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (value.empty() || code != std::errc() || end != value.data() + value.size() ||
        (name == "min_likes:" && number > static_cast<uint64_t>(INT64_MAX)))
      fail(begin, fmt::format("`{}` needs a whole number right after the colon, not `{}`", name, value));
    if (name == "max_id:") query_.max_id = number;
    else query_.min_likes = static_cast<int64_t>(number);
  }

  void add(QueryAtom atom, char sign, size_t begin) {
    terms_ += atom.words.size();
    if (terms_ > kMaxQueryTerms) fail(begin, fmt::format("more than {} terms", kMaxQueryTerms));
    if (or_pending_) {
      if (sign != 0) fail(begin, "an item after OR cannot start with - or +");
      query_.clauses.back().alternatives.push_back(std::move(atom));
      or_pending_ = false;
    } else {
      query_.clauses.push_back({{std::move(atom)}, sign == '-', sign == '+'});
    }
    last_was_atom_ = true;
  }

  void check_meaning() {
    bool positive = query_.since_s || query_.until_s || query_.min_likes || query_.max_id;
    for (QueryClause& clause : query_.clauses) {
      if (!clause.excluded && !is_plain(clause)) clause.required = true;
      positive |= !clause.excluded;
    }
    if (!positive && query_.clauses.empty())
      fail(0, "the query is empty; write at least one word, phrase, #tag or field");
    if (!positive) fail(0, "everything is excluded; add a word, phrase, #tag or field to look for");
    if (query_.since_s && query_.until_s && *query_.since_s >= *query_.until_s) fail(0, "`since:` is after `until:`");
  }

  std::string_view text_;
  size_t at_ = 0, terms_ = 0;
  bool or_pending_ = false, last_was_atom_ = false;
  Query query_;
};

}  // namespace

std::vector<std::string> Query::wanted_words() const {
  std::vector<std::string> out;
  for (const QueryClause& clause : clauses) {
    if (clause.excluded) continue;
    for (const QueryAtom& atom : clause.alternatives)
      if (atom.kind == Kind::word || atom.kind == Kind::phrase || atom.kind == Kind::hashtag)
        out.insert(out.end(), atom.words.begin(), atom.words.end());
  }
  return out;
}

std::string Query::text() const { return fmt::format("{}", fmt::join(wanted_words(), " ")); }

Query parse_query(std::string_view text) { return Parser(text).parse(); }

Query plain_query(std::string_view text) {
  Query query;
  for (Word& word : split_words(text)) {
    if (query.clauses.size() == kMaxQueryTerms) break;
    query.clauses.push_back({{{Kind::word, {std::move(word.text)}}}, false, false});
  }
  return query;
}

}  // namespace starling
