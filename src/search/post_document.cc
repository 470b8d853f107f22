#include "search/post_document.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <set>

#include "core/hash.h"
#include "core/time.h"
#include "search/words.h"

namespace starling {
namespace {

using Kind = QueryAtom::Kind;
constexpr size_t kMaxTermBytes = 200;  // Xapian's limit is 245, less for bytes that it escapes
constexpr Xapian::termpos kFirstPosition = 1;

std::string bounded(const std::string& prefix, const std::string& value) {
  if (value.size() <= kMaxTermBytes && value.find('\0') == std::string::npos) return prefix + value;
  return prefix + "\n" + sha256_hex(value);  // no id has a line break, so that no short one is taken for it
}

void add_words(Xapian::Document& document, const Post& post) {
  Xapian::termpos position = kFirstPosition;
  for (const Word& word : split_words(post.text)) {
    document.add_posting(word.text, position++, 0);
    document.add_term("Z" + stem(word.text, post.language), 1);
  }
  for (const std::string& tag : post.hashtags)
    for (const std::string& part : split_camel_case(tag)) document.add_term("Z" + stem(part, post.language), 1);
}

void add_fields(Xapian::Document& document, const Post& post) {
  document.add_boolean_term(id_term(post.id));
  if (!post.author.empty()) document.add_boolean_term(field_term("A", post.author));
  for (const std::string& name : post.mentions) document.add_boolean_term(field_term("XM", name));
  for (const std::string& tag : post.hashtags) document.add_boolean_term(field_term("XH", tag));
  if (!post.language.empty()) document.add_boolean_term(field_term("L", post.language));
  if (!post.community.empty()) document.add_boolean_term(field_term("XC", post.community));
  std::string day = format_day(post.time_s);
  std::erase(day, '-');
  document.add_boolean_term("D" + day);
  document.add_boolean_term(fmt::format("XE{}", engagement_bucket(post)));
}

void add_values(Xapian::Document& document, const Post& post) {
  document.add_value(kTimeSlot, Xapian::sortable_serialise(static_cast<double>(post.time_s)));
  document.add_value(kLikesSlot, Xapian::sortable_serialise(static_cast<double>(post.likes)));
  document.add_value(kEngagementSlot, Xapian::sortable_serialise(static_cast<double>(engagement(post))));
  document.add_value(kIdNumberSlot, id_number(post.id));
  document.add_value(kIdSlot, post.id);
  document.add_value(kAuthorSlot, post.author);
  document.add_value(kCommunitySlot, post.community);
  document.add_value(kLanguageSlot, post.language);
  std::string tags;
  for (const std::string& tag : std::set<std::string>(post.hashtags.begin(), post.hashtags.end())) {
    if (!tags.empty()) tags += kListSeparator;
    tags += fold(tag);
  }
  document.add_value(kHashtagsSlot, tags);
}

// A post in English is ranked by stems, any other by words; the query does not know which posts it will meet.
Xapian::Query word_query(const std::string& word, const Xapian::Database& database) {
  const Xapian::Query stemmed("Z" + stem(word, "en"));
  if (stem(word, "en") == word || !database.term_exists("Z" + word)) return stemmed;
  return Xapian::Query(Xapian::Query::OP_SYNONYM, stemmed, Xapian::Query("Z" + word));
}

Xapian::Query phrase_query(const std::vector<std::string>& words) {
  if (words.size() == 1) return Xapian::Query(words[0]);
  return Xapian::Query(Xapian::Query::OP_PHRASE, words.begin(), words.end(),
                       static_cast<Xapian::termcount>(words.size()));
}

// A phrase filters by its positions and ranks by its words' stems.
Xapian::Query ranked_phrase(const std::vector<std::string>& words, const Xapian::Database& database) {
  std::vector<Xapian::Query> stems;
  for (const std::string& word : words) stems.push_back(word_query(word, database));
  return Xapian::Query(Xapian::Query::OP_FILTER, Xapian::Query(Xapian::Query::OP_OR, stems.begin(), stems.end()),
                       phrase_query(words));
}

Xapian::Query field_query(const char* prefix, const std::string& value) {
  return Xapian::Query(Xapian::Query::OP_SCALE_WEIGHT, Xapian::Query(field_term(prefix, value)), 0.0);
}

Xapian::Query atom_query(const QueryAtom& atom, const Xapian::Database& database) {
  switch (atom.kind) {
    case Kind::word:
      return word_query(atom.words[0], database);
    case Kind::phrase:
      return ranked_phrase(atom.words, database);
    case Kind::author:
      return field_query("A", atom.words[0]);
    case Kind::mention:
      return field_query("XM", atom.words[0]);
    case Kind::hashtag:
      return field_query("XH", atom.words[0]);
    case Kind::community:
      return field_query("XC", atom.words[0]);
    case Kind::language:
      return field_query("L", atom.words[0]);
  }
  return Xapian::Query::MatchNothing;
}

Xapian::Query clause_query(const QueryClause& clause, const Xapian::Database& database) {
  std::vector<Xapian::Query> parts;
  for (const QueryAtom& atom : clause.alternatives) parts.push_back(atom_query(atom, database));
  return Xapian::Query(Xapian::Query::OP_OR, parts.begin(), parts.end());
}

void add_ranges(const Query& query, std::vector<Xapian::Query>& parts) {
  const auto at_least = [](Slot slot, int64_t bound) {
    return Xapian::Query(Xapian::Query::OP_VALUE_GE, slot, Xapian::sortable_serialise(static_cast<double>(bound)));
  };
  if (query.since_s) parts.push_back(at_least(kTimeSlot, *query.since_s));
  if (query.until_s)
    parts.emplace_back(Xapian::Query::OP_VALUE_LE, kTimeSlot,
                       Xapian::sortable_serialise(static_cast<double>(*query.until_s - 1)));
  if (query.min_likes) parts.push_back(at_least(kLikesSlot, *query.min_likes));
  if (query.max_id)  // from 0: an id that is not a number has an empty value, which is below every number
    parts.emplace_back(Xapian::Query::OP_VALUE_RANGE, kIdNumberSlot, fmt::format("{:020}", 0),
                       fmt::format("{:020}", *query.max_id));
}

Xapian::Query all_of(const std::vector<Xapian::Query>& parts) {
  return Xapian::Query(Xapian::Query::OP_AND, parts.begin(), parts.end());
}

struct Parts {
  std::vector<Xapian::Query> wanted, required, filters, excluded;
};

Parts split_parts(const Query& query, const Xapian::Database& database, bool all_words) {
  Parts parts;
  for (const QueryClause& clause : query.clauses) {
    Xapian::Query made = clause_query(clause, database);
    if (clause.excluded) parts.excluded.push_back(std::move(made));
    else if (clause.required || all_words) parts.required.push_back(std::move(made));
    else parts.wanted.push_back(std::move(made));
  }
  add_ranges(query, parts.filters);
  return parts;
}

}  // namespace

std::string id_term(const std::string& post_id) { return bounded("Q", post_id); }

std::string field_term(const std::string& prefix, const std::string& value) { return bounded(prefix, fold(value)); }

std::string id_number(const std::string& id) {
  constexpr size_t kDigits = 20;  // of 2^64 - 1
  if (id.empty() || id.size() > kDigits || id.find_first_not_of("0123456789") != std::string::npos) return {};
  return std::string(kDigits - id.size(), '0') + id;
}

int64_t engagement(const Post& post) {
  const auto bounded_count = [](int64_t count) { return std::clamp<int64_t>(count, 0, int64_t{1} << 40); };
  return bounded_count(post.likes) + 2 * bounded_count(post.reposts) + bounded_count(post.replies);
}

int engagement_bucket(const Post& post) { return std::bit_width(static_cast<uint64_t>(1 + engagement(post))) - 1; }

Xapian::Document make_document(const Post& post) {
  Xapian::Document document;
  document.set_data(to_json_line(post));
  add_fields(document, post);
  add_values(document, post);
  add_words(document, post);
  return document;
}

Xapian::Query ranked_query(const Query& query, const Xapian::Database& database, bool all_words,
                           const std::vector<WeightedTerm>& expansion) {
  Parts parts = split_parts(query, database, all_words);
  for (const WeightedTerm& term : expansion)
    parts.wanted.emplace_back(Xapian::Query::OP_SCALE_WEIGHT, Xapian::Query(term.term), term.weight);
  Xapian::Query out;
  if (!parts.required.empty()) out = all_of(parts.required);
  if (!parts.wanted.empty()) {
    const Xapian::Query wanted(Xapian::Query::OP_OR, parts.wanted.begin(), parts.wanted.end());
    // With something required the wanted words only rank; alone, one of them is needed.
    out = parts.required.empty() ? wanted : Xapian::Query(Xapian::Query::OP_AND_MAYBE, out, wanted);
  }
  if (out.empty()) out = Xapian::Query::MatchAll;
  if (!parts.filters.empty()) out = Xapian::Query(Xapian::Query::OP_FILTER, out, all_of(parts.filters));
  for (const Xapian::Query& excluded : parts.excluded) out = Xapian::Query(Xapian::Query::OP_AND_NOT, out, excluded);
  return out;
}

Xapian::Query filter_query(const Query& query, const Xapian::Database& database) {
  Parts parts = split_parts(query, database, false);
  if (parts.required.empty() && parts.filters.empty() && parts.excluded.empty()) return {};
  std::vector<Xapian::Query> needed = std::move(parts.required);
  needed.insert(needed.end(), parts.filters.begin(), parts.filters.end());
  Xapian::Query out = needed.empty() ? Xapian::Query(Xapian::Query::MatchAll) : all_of(needed);
  for (const Xapian::Query& excluded : parts.excluded) out = Xapian::Query(Xapian::Query::OP_AND_NOT, out, excluded);
  return out;
}

}  // namespace starling
