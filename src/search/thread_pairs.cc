#include "search/thread_pairs.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "core/error.h"
#include "core/hash.h"
#include "posts/shards.h"
#include "search/index_sync.h"
#include "search/sentences.h"
#include "search/support.h"
#include "search/words.h"

namespace starling {
namespace {

constexpr size_t kMinPairBytes = 20;
constexpr size_t kMinQueryWords = 3;
constexpr size_t kMinTagPosts = 2, kMaxTagPosts = 20;  // a frequent tag says little about what a post is about
constexpr size_t kPairsPerGroup = 4;                   // so that one long thread does not fill the batch
constexpr size_t kMaxThreadDepth = 100;
constexpr size_t kDevelopmentSlices = 3;  // one gives too few queries to tell weights apart
constexpr int kParentGrade = 2, kThreadGrade = 1;

std::vector<Post> live_posts(const PostStore& store, const ControlDb& control, const char* purpose) {
  std::vector<Post> posts;
  store.for_each([&](const Post& post) {
    if (!control.is_deleted(post.id, post.author) && !control.has_opted_out(post.author, purpose))
      posts.push_back(post);
    return true;
  });
  return posts;
}

// The author's own words: no quoted lines, no URLs, no hashtags.
std::string own_text(const Post& post) {
  std::string out;
  for (const std::string& sentence : split_sentences(post.text)) out += sentence + " ";
  std::string without_tags;
  for (size_t i = 0; i < out.size(); ++i) {
    if (out[i] == '#') i = std::min(out.find(' ', i), out.size());
    if (i < out.size()) without_tags += out[i];
  }
  return embedded_text(without_tags);
}

// Posts by what they share: their thread (the parent's id) or a hashtag.
struct Groups {
  std::unordered_map<std::string, const Post*> by_id;
  std::map<std::string, std::vector<const Post*>> replies, tagged;
};

Groups group(const std::vector<Post>& posts) {
  Groups groups;
  for (const Post& post : posts) {
    groups.by_id[post.id] = &post;
    if (!post.reply_to.empty()) groups.replies[post.reply_to].push_back(&post);
    for (const std::string& tag : std::set<std::string>(post.hashtags.begin(), post.hashtags.end()))
      groups.tagged[fold(tag)].push_back(&post);
  }
  return groups;
}

// Up to `limit` items, in an order that depends on their keys only.
template <typename Item, typename Key>
void draw(std::vector<Item>& items, size_t limit, const Key& key) {
  std::sort(items.begin(), items.end(), [&](const Item& a, const Item& b) { return hash64(key(a)) < hash64(key(b)); });
  if (items.size() > limit) items.resize(limit);
}

class PairCollector {
 public:
  explicit PairCollector(const Groups& groups) : groups_(groups) {}

  void add(const Post& a, const Post& b) { add(own_text(a), own_text(b), a, b); }
  void add(std::string a, std::string b, const Post& from_a, const Post& from_b) {
    if (a.size() >= kMinPairBytes && b.size() >= kMinPairBytes)
      pairs_.push_back({{std::move(a), std::move(b), thread_of(from_a)}, &from_a, &from_b});
  }
  TuningPairs take() {
    draw(pairs_, kMaxPairs, [](const Pair& pair) { return pair.texts.first + pair.texts.second; });
    TuningPairs out;
    for (Pair& pair : pairs_) {
      out.texts.push_back(std::move(pair.texts));
      for (const Post* post : {pair.a, pair.b}) out.seen.emplace_back(post->id, post->author);
    }
    return out;
  }

 private:
  struct Pair {
    RelatedTexts texts;
    const Post *a, *b;
  };

  // The post that the thread began with, or the oldest that is known; bounded, since replies may form a ring.
  uint64_t thread_of(const Post& post) const {
    const Post* at = &post;
    for (size_t i = 0; i < kMaxThreadDepth && !at->reply_to.empty(); ++i) {
      const auto parent = groups_.by_id.find(at->reply_to);
      if (parent == groups_.by_id.end()) return hash64(at->reply_to);
      at = parent->second;
    }
    return hash64(at->id);
  }

  const Groups& groups_;
  std::vector<Pair> pairs_;
};

// Neighbours in a group: each post with the next.
void add_chain(PairCollector& pairs, const std::vector<const Post*>& group) {
  for (size_t i = 0; i + 1 < std::min(group.size(), kPairsPerGroup + 1); ++i) pairs.add(*group[i], *group[i + 1]);
}

void add_itself(PairCollector& pairs, const Post& post) {
  pairs.add(post, post);
  const std::vector<std::string> sentences = split_sentences(post.text);
  std::string halves[2];
  for (size_t i = 0; i < sentences.size(); ++i) halves[2 * i >= sentences.size()] += sentences[i] + " ";
  pairs.add(embedded_text(halves[0]), embedded_text(halves[1]), post, post);
}

std::vector<std::string> rarest_words(const Post& post, const PostIndexReader& reader) {
  std::vector<std::pair<int64_t, std::string>> weighed;
  for (const std::string& word : content_words(own_text(post)).words)
    if (const int64_t frequency = reader.document_frequency(word); frequency > 1) weighed.emplace_back(frequency, word);
  std::sort(weighed.begin(), weighed.end());
  std::vector<std::string> out;
  for (const auto& [frequency, word] : weighed)
    if (out.size() < kQueryWords) out.push_back(word);
  return out;
}

// Grades of the posts that belong with `post`.
std::map<std::string, int> related(const Post& post, const Groups& groups) {
  std::map<std::string, int> grades;
  if (groups.by_id.contains(post.reply_to)) {
    if (const auto siblings = groups.replies.find(post.reply_to); siblings != groups.replies.end())
      for (const Post* sibling : siblings->second) grades[sibling->id] = kThreadGrade;
    grades[post.reply_to] = kParentGrade;
  } else if (post.reply_to.empty()) {
    for (const std::string& tag : post.hashtags)
      if (const auto& tagged = groups.tagged.at(fold(tag));
          tagged.size() >= kMinTagPosts && tagged.size() <= kMaxTagPosts)
        for (const Post* other : tagged) grades[other->id] = kThreadGrade;
  }
  grades.erase(post.id);
  return grades;
}

}  // namespace

TimeSplit split_by_time(const Workspace& workspace, const Config& config, const PostStore& posts) {
  std::vector<PostMoment> moments;
  posts.for_each([&](const Post& post) {
    moments.push_back(moment_of(post));
    return true;
  });
  if (moments.empty()) throw DataError("the workspace has no posts; run `starling ingest` first");
  std::sort(moments.begin(), moments.end());
  const auto held_out =
      static_cast<size_t>(static_cast<double>(moments.size()) * config.number("prepare.validation_fraction"));
  TimeSplit split;
  split.held_out_from = moments[moments.size() - 1 - std::min(held_out, moments.size() - 1)];
  if (std::filesystem::exists(workspace.shards() / "manifest.json")) {
    const ShardReader valid(workspace.shards(), "valid");
    if (valid.sample_count() > 0) {
      const Sample first = valid.sample(0);
      split.held_out_from = {first.time_s, std::string(first.post_id)};
    }
  }
  const auto before =
      static_cast<size_t>(std::lower_bound(moments.begin(), moments.end(), split.held_out_from) - moments.begin());
  const size_t slice = std::min(before / 2, kDevelopmentSlices * (moments.size() - before));
  split.tune_before = slice == 0 ? split.held_out_from : moments[before - slice];
  return split;
}

TuningPairs tuning_pairs(const PostStore& store, const ControlDb& control, const PostMoment& before) {
  std::vector<Post> posts = live_posts(store, control, "training");
  std::erase_if(posts, [&](const Post& post) { return moment_of(post) >= before; });
  const Groups groups = group(posts);
  PairCollector pairs(groups);
  for (const auto& [parent_id, replies] : groups.replies) {
    if (const auto parent = groups.by_id.find(parent_id); parent != groups.by_id.end())
      for (const Post* reply : replies) pairs.add(*parent->second, *reply);
    add_chain(pairs, replies);
  }
  for (const auto& [tag, tagged] : groups.tagged)
    if (tagged.size() <= kMaxTagPosts) add_chain(pairs, tagged);
  for (const Post& post : posts) add_itself(pairs, post);
  return pairs.take();
}

HeldOutQueries held_out_queries(const PostStore& store, const ControlDb& control, const PostIndexReader& reader,
                                const PostMoment& from, const PostMoment& until) {
  const std::vector<Post> posts = live_posts(store, control, "search");
  const Groups groups = group(posts);
  std::vector<const Post*> sources;
  for (const Post& post : posts)
    if (moment_of(post) >= from && moment_of(post) < until && !related(post, groups).empty()) sources.push_back(&post);
  draw(sources, 4 * kMaxHeldOutQueries, [](const Post* post) { return post->id; });
  HeldOutQueries out;
  for (const Post* post : sources) {
    if (out.queries.size() == kMaxHeldOutQueries) break;
    Query query;
    for (std::string& word : rarest_words(*post, reader))
      query.clauses.push_back({{{QueryAtom::Kind::word, {std::move(word)}}}, false, false});
    if (query.clauses.size() < kMinQueryWords) continue;
    out.qrels[post->id] = related(*post, groups);
    out.queries.push_back({post->id, std::move(query), post->id});
  }
  return out;
}

}  // namespace starling
