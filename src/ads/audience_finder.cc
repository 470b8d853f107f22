#include "ads/audience_finder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>

#include "ads/fact_ledger.h"
#include "ads/lexicon.h"
#include "ads/policy.h"
#include "ads/units.h"
#include "core/error.h"
#include "search/query.h"
#include "search/search_service.h"

namespace starling {
namespace {

constexpr size_t kMostFound = 3, kMostRefusedShown = 10, kMostTopics = 24, kCompanionsOfTopic = 4;
constexpr double kProxyShare = 0.2;          // of an audience's posts that carry sensitive hashtags
constexpr double kTooBroadShare = 0.25;      // of all posts: such a word is not a topic
constexpr double kTooBroadFactShare = 0.05;  // the same for a word that only a fact uses

struct Candidate {
  std::string name, query, origin;
  double relevance = 1;  // share of its posts that speak of the product's topic
  SearchService::Audience found;
};

// What a post or a brief holds may be too long for a query, or only punctuation.
bool is_query(const std::string& text) {
  try {
    parse_query(text);
    return true;
  } catch (const DataError&) {
    return false;
  }
}

// By proxy: a harmless query whose posts are largely about a sensitive topic.
std::optional<std::string> refuse_proxy(const SearchService::Audience& audience) {
  std::map<std::string, int64_t> by_topic;
  for (const auto& [tag, count] : audience.hashtags) {
    if (const auto sensitive = find_sensitive_topic(tag)) by_topic[sensitive->topic] += count;
  }
  for (const auto& [topic, count] : by_topic) {
    if (static_cast<double>(count) >= kProxyShare * static_cast<double>(audience.posts)) {
      return fmt::format("its posts are largely about {}: it would target by proxy", topic);
    }
  }
  return std::nullopt;
}

std::optional<std::string> refuse_candidate(const Candidate& candidate) {
  if (auto reason = refuse_audience(candidate.name, candidate.query)) return reason;
  if (candidate.found.authors < kMinimumAudience) {
    return fmt::format("{} authors write about it; an audience has at least {}", candidate.found.authors,
                       kMinimumAudience);
  }
  return refuse_proxy(candidate.found);
}

class Finder {
 public:
  Finder(const Brief& brief, SearchService& search) : brief_(brief), search_(search) {}

  FoundAudiences find() {
    for (const WantedAudience& wanted : brief_.audiences) want(wanted);
    if (brief_.find_audiences) add_best(topics());
    for (size_t i = 0; i < result_.audiences.size(); ++i) result_.audiences[i].id = fmt::format("a{}", i + 1);
    return std::move(result_);
  }

 private:
  void want(const WantedAudience& wanted) {
    Candidate candidate{.name = wanted.name, .query = wanted.query, .origin = "named in the brief"};
    if (const auto reason = refuse_audience(wanted.name, wanted.query)) {
      result_.refused.push_back({wanted.name, *reason});
      return;
    }
    try {
      candidate.found = search_.audience(wanted.query);
    } catch (const DataError& error) {
      result_.refused.push_back({wanted.name, error.what()});
      return;
    }
    take(candidate);
  }

  void take(const Candidate& candidate) {
    if (const auto reason = refuse_candidate(candidate)) {
      if (result_.refused.size() < kMostRefusedShown) result_.refused.push_back({candidate.name, *reason});
      return;
    }
    result_.audiences.push_back({.name = candidate.name,
                                 .query = candidate.query,
                                 .authors = candidate.found.authors,
                                 .posts = candidate.found.posts,
                                 .reason = fmt::format("{}; {} authors wrote {} posts", candidate.origin,
                                                       candidate.found.authors, candidate.found.posts)});
  }

  // Words that say what the product is about, with where they come from: the product first, then the facts.
  std::vector<std::pair<std::string, std::string>> topic_words() const {
    std::vector<std::pair<std::string, std::string>> words;
    std::set<std::string> seen = statement_words(brief_.advertiser);
    const auto add = [&](const std::string& text, const std::string& origin) {
      for (const std::string& word : statement_words(text)) {
        const bool topical = word.size() >= 3 && !is_invitation_word(word) && !is_absolute_word(word) &&
                             !find_unit(word, word) && !find_currency(word, brief_.currency) &&
                             !find_number_word(word) && !find_month(word);
        if (topical && words.size() < kMostTopics && seen.insert(word).second) words.emplace_back(word, origin);
      }
    };
    add(brief_.product, "a word of the product");
    for (const Fact& fact : brief_.facts) {
      if (fact.value == "false") continue;  // what the product has not is no topic of it
      add(fact.value == "true" ? fact.name : fact.name + "\n" + fact.value, "a word of the fact " + fact.id);
    }
    return words;
  }

  bool too_broad(const SearchService::Audience& audience, double share = kTooBroadShare) const {
    return static_cast<double>(audience.posts) >
           share * static_cast<double>(std::max<uint64_t>(search_.indexed_posts(), 1));
  }

  // How much of a companion's posts are about the topic decides how well it stands for it.
  void add_companions(const Candidate& topic, std::vector<Candidate>& candidates) {
    const auto add = [&](const std::vector<std::pair<std::string, int64_t>>& values, const std::string& prefix,
                         const char* what) {
      for (size_t i = 0; i < std::min(values.size(), kCompanionsOfTopic); ++i) {
        const std::string& value = values[i].first;
        Candidate companion{.name = value, .query = prefix + value};
        if (value.find_first_of(" \"") != std::string::npos || !is_query(companion.query) ||
            !asked_.insert(companion.query).second)
          continue;
        companion.found = search_.audience(companion.query);
        if (companion.found.authors < kMinimumAudience || too_broad(companion.found)) continue;
        companion.relevance =
            std::min(1.0, static_cast<double>(values[i].second) / static_cast<double>(companion.found.posts));
        companion.origin =
            fmt::format("{} where {:.0f} % of the posts have “{}”", what, 100 * companion.relevance, topic.name);
        candidates.push_back(std::move(companion));
      }
    };
    add(topic.found.hashtags, "#", "a hashtag");
    add(topic.found.communities, "in:", "a community");
  }

  std::vector<Candidate> topics() {
    std::vector<Candidate> candidates;
    for (const auto& [word, origin] : topic_words()) {
      Candidate topic{.name = word, .query = "+" + word, .origin = fmt::format("posts with “{}”, {}", word, origin)};
      const bool of_product = origin == "a word of the product";
      topic.relevance = of_product ? 1.0 : 0.5;
      if (!is_query(topic.query) || !asked_.insert(topic.query).second) continue;
      topic.found = search_.audience(topic.query);
      if (topic.found.posts == 0 || too_broad(topic.found, of_product ? kTooBroadShare : kTooBroadFactShare)) continue;
      const bool sensitive = refuse_audience(topic.name, topic.query).has_value();
      if (!sensitive) add_companions(topic, candidates);
      candidates.push_back(std::move(topic));
    }
    return candidates;
  }

  void add_best(std::vector<Candidate> candidates) {
    // A square root, so that a large loose group does not push out a smaller one that fits.
    const auto score = [](const Candidate& candidate) {
      return candidate.relevance * std::sqrt(static_cast<double>(candidate.found.authors));
    };
    std::stable_sort(candidates.begin(), candidates.end(),
                     [&](const Candidate& a, const Candidate& b) { return score(a) > score(b); });
    const size_t wanted = result_.audiences.size();
    for (const Candidate& candidate : candidates) {
      const bool refused = refuse_candidate(candidate).has_value();
      if (refused || result_.audiences.size() < wanted + kMostFound) take(candidate);
    }
  }

  const Brief& brief_;
  SearchService& search_;
  FoundAudiences result_;
  std::set<std::string> asked_;
};

}  // namespace

FoundAudiences find_audiences(const Brief& brief, SearchService& search) { return Finder(brief, search).find(); }

}  // namespace starling
