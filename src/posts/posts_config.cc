#include "posts/ingest.h"

namespace starling {

std::vector<ConfigKey> posts_config_keys() {
  return {
      {"ingest.max_row_bytes", int64_t{1 << 20},
       "longest row, record or mail message; a longer one goes to the quarantine, bytes"},
      {"ingest.segment_posts", int64_t{50'000}, "posts that are committed at once"},
      {"prepare.validation_fraction", 0.05, "part of the kept posts, the latest, that is held out for validation"},
      {"prepare.min_chars", int64_t{10}, "a shorter cleaned text is dropped, Unicode characters"},
      {"prepare.max_tokens", int64_t{4096}, "a longer post is cut, tokens"},
      {"prepare.languages", std::string(), "languages to keep, for example \"en,de\"; empty keeps all"},
      {"prepare.max_posts_per_author", int64_t{0}, "the latest posts of an author that are kept; 0 keeps all"},
      {"prepare.near_duplicate_similarity", 0.8,
       "Jaccard similarity of 5-character shingles from which the later post is dropped; 1 or more keeps all"},
      {"prepare.memory_mb", int64_t{1024},
       "for sorting and the search for near duplicates; beyond it works from disk, MiB"},
      {"prepare.spam_score", 1.0, "score from which a post is dropped as spam; 0 keeps all"},
      {"prepare.max_feed_posts", int64_t{0},
       "the latest posts that are kept of an account which only announces, as an automated news feed does; 0 keeps "
       "all"},
      {"prepare.max_template_posts", int64_t{5}, "posts that one author may make from one template; 0: any number"},
      {"prepare.strip_quotes", true, "drop quoted lines, signatures and list footers"},
      {"prepare.canaries", int64_t{0},
       "invented secrets planted among the training posts, so that `starling eval canary` can measure what the model "
       "memorises; 0: none"},
      {"prepare.replace_personal_data", true, "replace e-mail, phone, IP, card and IBAN by marks"},
  };
}

}  // namespace starling
