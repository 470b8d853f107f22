// The query language of search, audiences and the page. docs/formats/query-language.md describes it for users.
//
//   query  = item { ["OR"] item }          items side by side; OR binds its two neighbours into one clause
//   item   = ["-" | "+"] atom              - excludes, + requires
//   atom   = word | "phrase" | #tag | @name | field:value
//   field  = from | in | lang | since | until | min_likes | max_id
//   value  = what follows up to a space; of from, in and lang also "what stands in quotation marks"
//
// Ranked words are wanted: a post needs one of them, and more of them rank it higher. Phrases, tags, names and fields
// are required. Bounded: kMaxQueryBytes and kMaxQueryTerms.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace starling {

inline constexpr size_t kMaxQueryBytes = 1024;
inline constexpr size_t kMaxQueryTerms = 64;

struct QueryAtom {
  enum class Kind { word, phrase, author, mention, hashtag, community, language };
  Kind kind = Kind::word;
  std::vector<std::string>
      words;  // folded: the words of a word or phrase (one query word may split in several), else one value

  friend bool operator==(const QueryAtom&, const QueryAtom&) = default;
};

// Alternatives joined by OR. Required unless it is made of plain words only and has no '+'.
struct QueryClause {
  std::vector<QueryAtom> alternatives;
  bool excluded = false, required = false;

  friend bool operator==(const QueryClause&, const QueryClause&) = default;
};

struct Query {
  std::vector<QueryClause> clauses;
  std::optional<int64_t> since_s, until_s;  // since <= time < until; `until:` a day includes that day
  std::optional<int64_t> min_likes;
  std::optional<uint64_t> max_id;  // posts whose id is a number at most this

  std::vector<std::string> wanted_words() const;  // folded words that are not excluded, for ranking and marking
  std::string text() const;                       // the same joined by spaces: what the vector stage embeds
};

// Throws DataError with the byte position of what is wrong and what is expected there.
Query parse_query(std::string_view text);

// Any text as wanted words, without operators: for questions and TREC topics. Takes the first kMaxQueryTerms words.
Query plain_query(std::string_view text);

}  // namespace starling
