// A post as a Xapian document, and a Query as a Xapian query. Internal to the index: the only header that shows Xapian.
//
//   Q<id>  A<author>  XM<mention>  XH<hashtag>  L<language>  XC<community>  D<yyyymmdd>  XE<bucket>   boolean terms (no
//   weight) Z<stem>                                                            ranked terms, weight = occurrences
//   <word> at its position, no weight                                  phrases
// Values 0..8 are listed in enum Slot. The document's data is the post as a JSON line.
#pragma once

#include <xapian.h>

#include <cstdint>
#include <string>
#include <vector>

#include "posts/post.h"
#include "search/post_index.h"
#include "search/query.h"

namespace starling {

enum Slot : Xapian::valueno {
  kTimeSlot,
  kLikesSlot,
  kEngagementSlot,  // sortable_serialise
  kIdNumberSlot,    // 20 decimal digits; empty when the id is not a number
  kIdSlot,
  kAuthorSlot,
  kCommunitySlot,
  kLanguageSlot,
  kHashtagsSlot  // folded, separated by kListSeparator
};
inline constexpr char kListSeparator = '\x1f';
inline constexpr char kRankedPrefix[] = "Z";

std::string id_term(const std::string& post_id);                              // unique; long ids are hashed
std::string field_term(const std::string& prefix, const std::string& value);  // folded and cut
std::string id_number(const std::string& post_id);                            // value of kIdNumberSlot

// floor(log2(1 + likes + 2 reposts + replies)): 0 for a post nobody reacted to.
int engagement_bucket(const Post& post);
int64_t engagement(const Post& post);

Xapian::Document make_document(const Post& post);

// all_words: a post must match every clause (audiences); otherwise plain words are wanted, one of them is needed.
// `expansion` joins the plain words.
Xapian::Query ranked_query(const Query& query, const Xapian::Database& database, bool all_words,
                           const std::vector<WeightedTerm>& expansion);
// Only what is required or excluded: the filter that vector results must pass too. Empty when there is none.
Xapian::Query filter_query(const Query& query, const Xapian::Database& database);

}  // namespace starling
