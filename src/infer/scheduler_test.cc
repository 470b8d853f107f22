#include "infer/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>

#include "core/error.h"
#include "infer/test_model.h"

namespace starling {
namespace {

Decoder make_decoder(const TestModel& model, const ModelConfig& config = small_config()) {
  return {config, load_weights(*open_weights(model.folder(), config), config, WeightForm::int8)};
}

// Takes the most likely of the first three tokens each time, so that pairs of tokens come again and are guessed; keeps
// every logit it saw.
struct Greedy : Sequence {
  Greedy(std::vector<TokenId> prompt, size_t count)
      : Sequence(std::move(prompt)), prompt_size(tokens.size()), end(tokens.size() + count) {}
  bool wants_logits(int64_t position) const override { return position + 1 == static_cast<int64_t>(tokens.size()); }
  int64_t unread_positions() const override { return static_cast<int64_t>(prompt_size) - 1; }
  int64_t most_positions() const override { return static_cast<int64_t>(end); }
  bool speculates() const override { return true; }
  bool ended() const override { return tokens.size() == end; }
  void take_logits(int64_t, std::span<const float> logits) override {
    seen.insert(seen.end(), logits.begin(), logits.end());
    tokens.push_back(static_cast<TokenId>(std::max_element(logits.begin(), logits.begin() + 3) - logits.begin()));
  }
  size_t prompt_size, end;
  std::vector<float> seen;
};

std::vector<TokenId> random_prompt(uint64_t seed, size_t size) {
  std::vector<TokenId> tokens;
  for (size_t i = 0; i < size; ++i) tokens.push_back(static_cast<TokenId>(random_u64(seed, 1, i) % 290));
  return tokens;
}

constexpr size_t kGenerated = 30;

// Holds the scheduler at its tenth token until so many jobs are there.
struct Held : Greedy {
  Held(std::vector<TokenId> prompt, const Scheduler& s, int64_t jobs)
      : Greedy(std::move(prompt), kGenerated), scheduler(s), wanted(jobs) {}
  void take_logits(int64_t position, std::span<const float> logits) override {
    Greedy::take_logits(position, logits);
    if (tokens.size() != prompt_size + 10) return;
    holds = true;
    while (scheduler.stats().jobs < wanted) std::this_thread::yield();
  }
  const Scheduler& scheduler;
  int64_t wanted;
  std::atomic<bool> holds = false;
};

struct Output {
  std::vector<TokenId> tokens;
  std::vector<float> seen;
};

// One token after another through the decoder alone.
Output without_scheduler(Decoder& decoder, const std::vector<TokenId>& prompt, CacheForm form,
                         size_t count = kGenerated) {
  Greedy sequence(prompt, count);
  KvPagePool pages(decoder.config(), form);
  KvCache cache(pages);
  std::vector<float> logits(static_cast<size_t>(decoder.config().vocab_size));
  for (int64_t position = 0; !sequence.ended(); ++position) {
    const BatchSpan span{&cache, std::span<const TokenId>(sequence.tokens).subspan(position, 1)};
    decoder.logits(decoder.forward({&span, 1}), logits);
    if (sequence.wants_logits(position)) sequence.take_logits(position, logits);
  }
  return {sequence.tokens, sequence.seen};
}

void run_threads(Scheduler& scheduler, std::vector<std::unique_ptr<Greedy>>& sequences, const Service& service) {
  std::vector<std::thread> threads;
  for (const auto& sequence : sequences) {
    threads.emplace_back([&, job = static_cast<Sequence*>(sequence.get())] { scheduler.run({&job, 1}, {}, service); });
  }
  for (std::thread& thread : threads) thread.join();
}

class SchedulerTest : public testing::Test {
 protected:
  TestModel model_;
  Decoder decoder_ = make_decoder(model_);
};

class SchedulerBits : public SchedulerTest, public testing::WithParamInterface<CacheForm> {};

INSTANTIATE_TEST_SUITE_P(Caches, SchedulerBits, testing::Values(CacheForm::f16, CacheForm::int8),
                         [](const auto& info) { return info.param == CacheForm::f16 ? "F16" : "Int8"; });

TEST_P(SchedulerBits, AreTheSameColdCachedChunkedAmongOthersAndWithGuesses) {
  for (uint64_t seed = 0; seed < 4; ++seed) {
    const std::vector<TokenId> prompt = random_prompt(seed, 90);
    const Output expected = without_scheduler(decoder_, prompt, GetParam());
    const auto check = [&](const Greedy& got, const char* how) {
      EXPECT_EQ(got.tokens, expected.tokens) << how << ", seed " << seed;
      EXPECT_EQ(got.seen, expected.seen) << how << ", seed " << seed;
    };
    for (const bool speculate : {false, true}) {
      const Service service{.tenant = "a", .speculate = speculate};
      Scheduler scheduler(decoder_, 4096, GetParam());
      for (const char* how : {"cold", "cached"}) {
        Greedy sequence(prompt, kGenerated);
        Sequence* const job[] = {&sequence};
        scheduler.run(job, {}, service);
        check(sequence, how);
        EXPECT_EQ(sequence.cached_positions(), std::string(how) == "cached" ? 80 : 0);  // whole pages of 89
      }
      EXPECT_EQ(scheduler.stats().guessed_tokens > 0, speculate);
    }
    // Among 15 others, their prompts cut in parts, with room for all, and in turn with room for one context.
    for (const int64_t capacity : {4096, 160}) {
      Scheduler scheduler(decoder_, capacity, GetParam());
      std::vector<std::unique_ptr<Greedy>> sequences;
      for (uint64_t i = 0; i < 16; ++i) {
        sequences.push_back(std::make_unique<Greedy>(i == 7 ? prompt : random_prompt(100 + i, 20 + 7 * i), kGenerated));
      }
      run_threads(scheduler, sequences, {});
      check(*sequences[7], capacity == 160 ? "in turn with others" : "among others");
      EXPECT_EQ(scheduler.stats().preemptions, 0u);
      const EngineStats stats = scheduler.stats();
      EXPECT_EQ(stats.pages_used, stats.pages_cached) << "a page is held by nobody";
      EXPECT_EQ(stats.jobs, 0);
    }
  }
}

TEST_P(SchedulerBits, AreTheSamePreempted) {
  const std::vector<TokenId> prompt = random_prompt(1, 90);
  const Output expected = without_scheduler(decoder_, prompt, GetParam());
  Scheduler scheduler(decoder_, 160, GetParam());  // one context
  Held sequence(prompt, scheduler, 3);
  std::thread batch_work([&] {
    Sequence* const job[] = {&sequence};
    scheduler.run(job, {}, {.priority = Priority::batch});
  });
  while (!sequence.holds) std::this_thread::yield();
  std::vector<std::unique_ptr<Greedy>> interactive;
  for (uint64_t i = 0; i < 2; ++i)
    interactive.push_back(std::make_unique<Greedy>(random_prompt(200 + i, 100), kGenerated));
  run_threads(scheduler, interactive, {});
  batch_work.join();
  EXPECT_EQ(scheduler.stats().preemptions, 1u);
  EXPECT_EQ(sequence.tokens, expected.tokens);
  EXPECT_EQ(sequence.seen, expected.seen);
}

// Four answers of 500 tokens begin where 1,024 positions have room for three prompts and 256 tokens each; as they grow,
// those that came last give way.
TEST_P(SchedulerBits, AreTheSameWhenAnswersOutgrowTheCache) {
  ModelConfig config = small_config();
  config.max_positions = 1024;
  Decoder decoder = make_decoder(model_, config);
  for (const bool speculate : {false, true}) {
    Scheduler scheduler(decoder, 1024, GetParam());
    std::deque<Greedy> sequences;
    std::vector<Sequence*> job;
    for (uint64_t i = 0; i < 4; ++i) job.push_back(&sequences.emplace_back(random_prompt(300 + i, 20), 500));
    scheduler.run(job, {}, {.speculate = speculate});
    EXPECT_GT(scheduler.stats().preemptions, 0u);
    EXPECT_LT(scheduler.stats().preemptions, 8u) << "they give way once in 256 tokens, not at each";
    EXPECT_EQ(scheduler.stats().pages_used, scheduler.stats().pages_cached);
    for (uint64_t i = 0; i < 4; ++i) {
      const Output expected = without_scheduler(decoder, random_prompt(300 + i, 20), GetParam(), 500);
      EXPECT_EQ(sequences[i].tokens, expected.tokens) << i;
      EXPECT_EQ(sequences[i].seen, expected.seen) << i;
    }
  }
}

// Reads, and is cancelled, on the scheduler's thread, while its first step is delivered.
struct Leaving : Sequence {
  Leaving(std::vector<TokenId> prompt, std::atomic<bool>& left) : Sequence(std::move(prompt)), cancelled(left) {}
  void take_hidden(int64_t, std::span<const float>) override { cancelled = true; }
  std::atomic<bool>& cancelled;
};

TEST_F(SchedulerTest, ACancelledJobLeavesAtTheNextStepAndGivesItsPagesBack) {
  const auto cancelled = std::make_shared<std::atomic<bool>>(false);
  Scheduler scheduler(decoder_, 8192);
  std::vector<std::unique_ptr<Leaving>> sequences;
  std::vector<Sequence*> job;
  for (uint64_t i = 0; i < 40; ++i)
    job.push_back(sequences.emplace_back(std::make_unique<Leaving>(random_prompt(i, 150), *cancelled)).get());
  scheduler.run(job, {}, {.cancelled = cancelled});
  const EngineStats stats = scheduler.stats();
  EXPECT_EQ(stats.steps, 2u) << "one that read, one that found the job cancelled; all 6000 tokens take 12";
  EXPECT_TRUE(stats.prompt_tokens > 0 && stats.prompt_tokens <= 512) << stats.prompt_tokens;
  EXPECT_EQ(stats.pages_used, stats.pages_cached) << "a page is held by nobody";
  EXPECT_EQ(stats.jobs, 0);
}

TEST_F(SchedulerTest, ACancelledJobLeavesThoughItsTurnHasNotCome) {
  const Service left{.priority = Priority::batch, .cancelled = std::make_shared<std::atomic<bool>>(true)};
  Scheduler scheduler(decoder_, 160);
  Greedy urgent(random_prompt(1, 20), 120), waiting(random_prompt(2, 150), 5);
  Sequence *const first[] = {&urgent}, *const second[] = {&waiting};
  bool asked = false;
  scheduler.run(first, [&] {
    if (!std::exchange(asked, true)) scheduler.run(second, {}, left);
  });
  EXPECT_TRUE(asked && urgent.ended());
  EXPECT_EQ(waiting.tokens.size(), waiting.prompt_size);
  EXPECT_EQ(scheduler.stats().prompt_tokens, 20u);
}

TEST_F(SchedulerTest, RightGuessesSaveSteps) {
  const auto steps = [&](bool speculate, uint64_t& right) {
    Scheduler scheduler(decoder_, 4096);
    Greedy sequence(random_prompt(1, 20), 120);
    Sequence* const job[] = {&sequence};
    scheduler.run(job, {}, {.speculate = speculate});
    right = scheduler.stats().right_guesses;
    return scheduler.stats().steps;
  };
  uint64_t right = 0, none = 0;
  const uint64_t with = steps(true, right), without = steps(false, none);
  EXPECT_GT(right, 0u);
  EXPECT_EQ(none, 0u);
  EXPECT_EQ(with + right, without);
}

TEST_F(SchedulerTest, OneTenantsPrefixDoesNotServeAnother) {
  Scheduler scheduler(decoder_, 4096);
  const std::vector<TokenId> prompt = random_prompt(3, 64);
  const auto cached = [&](const char* tenant) {
    Greedy sequence(prompt, 1);
    Sequence* const job[] = {&sequence};
    scheduler.run(job, {}, {.tenant = tenant});
    return sequence.cached_positions();
  };
  EXPECT_EQ(cached("a"), 0);
  EXPECT_EQ(cached("b"), 0);
  EXPECT_EQ(cached("a"), 48);  // whole pages before the last position, whose logits are asked for
}

TEST_F(SchedulerTest, ForgottenPrefixesAreComputedAgainThoseOfJobsUnderWayToo) {
  Scheduler scheduler(decoder_, 4096);
  const std::vector<TokenId> prompt = random_prompt(3, 64);
  const auto cached = [&](const std::function<void()>& on_step) {
    Greedy sequence(prompt, 90);
    Sequence* const job[] = {&sequence};
    scheduler.run(job, on_step);
    return sequence.cached_positions();
  };
  EXPECT_EQ(cached({}), 0);
  EXPECT_EQ(cached({}), 48);
  scheduler.forget_prefixes();
  EXPECT_EQ(scheduler.stats().pages_used, 0);
  bool forgotten = false;
  EXPECT_EQ(cached([&] {
              if (!std::exchange(forgotten, true)) scheduler.forget_prefixes();
            }),
            0);
  EXPECT_EQ(scheduler.stats().pages_used, 0) << "what was computed later was kept";
  EXPECT_EQ(cached({}), 0);
}

// Holds the scheduler in its first step until as many jobs wait as the test wants.
struct Plug : Sequence {
  Plug(const Scheduler& s, int64_t jobs) : Sequence({1}), scheduler(s), wanted(jobs) {}
  void take_hidden(int64_t, std::span<const float>) override {
    holds = true;
    while (scheduler.stats().jobs < wanted) std::this_thread::yield();
  }
  const Scheduler& scheduler;
  int64_t wanted;
  std::atomic<bool> holds = false;
};

struct Ordered : Sequence {
  Ordered(size_t size, std::atomic<int>& counter) : Sequence(random_prompt(size, size)), clock(counter) {}
  void take_hidden(int64_t, std::span<const float>) override { last = ++clock; }
  std::atomic<int>& clock;
  int last = 0;
};

// Two jobs that wait together; returns when each ended, in positions computed.
std::pair<int, int> ends_of(Decoder& decoder, const Service& first, const Service& second) {
  Scheduler scheduler(decoder, 16384);
  std::atomic<int> clock = 0;
  std::deque<Ordered> long_work, short_work;
  for (int i = 0; i < 40; ++i) long_work.emplace_back(120, clock);
  for (int i = 0; i < 6; ++i) short_work.emplace_back(120, clock);
  Plug plug(scheduler, 3);
  const auto pointers = [](std::deque<Ordered>& work) {
    std::vector<Sequence*> job;
    for (Ordered& sequence : work) job.push_back(&sequence);
    return job;
  };
  std::thread plugged([&] {
    Sequence* const job[] = {&plug};
    scheduler.run(job);
  });
  while (!plug.holds) std::this_thread::yield();
  std::thread other([&] { scheduler.run(pointers(long_work), {}, first); });
  while (scheduler.stats().jobs == 1) std::this_thread::yield();
  scheduler.run(pointers(short_work), {}, second);
  plugged.join(), other.join();
  return {long_work.back().last, short_work.back().last};
}

TEST_F(SchedulerTest, InteractiveWorkRunsBeforeBatchWork) {
  const auto [batch, interactive] = ends_of(decoder_, {.priority = Priority::batch, .tenant = "a"},
                                            {.priority = Priority::interactive, .tenant = "b"});
  EXPECT_LT(interactive, batch);
  EXPECT_LT(interactive, 2 * 6 * 120) << "its 720 positions waited for batch work";
}

TEST_F(SchedulerTest, ASequenceBeginsWhenWhatItMayNeedNextIsFree) {
  Scheduler scheduler(decoder_, 160);  // 10 pages
  struct Timed : Greedy {
    explicit Timed(uint64_t seed, std::atomic<int>& c) : Greedy(random_prompt(seed, 20), 60), clock(c) {}  // 5 pages
    void take_logits(int64_t position, std::span<const float> logits) override {
      Greedy::take_logits(position, logits);
      last = ++clock;
      if (first == 0) first = last;
    }
    std::atomic<int>& clock;
    int first = 0, last = 0;
  };
  std::atomic<int> clock = 0;
  std::deque<Timed> sequences;
  std::vector<Sequence*> job;
  for (uint64_t i = 0; i < 3; ++i) job.push_back(&sequences.emplace_back(i, clock));
  scheduler.run(job);
  EXPECT_LT(sequences[1].first, sequences[0].last) << "two have room together";
  EXPECT_GT(sequences[2].first, std::min(sequences[0].last, sequences[1].last)) << "the third does not";
  EXPECT_EQ(scheduler.stats().preemptions, 0u);
}

TEST_F(SchedulerTest, RefusesMoreThanTheModelsPositions) {
  Scheduler scheduler(decoder_, 4096);
  Greedy sequence(random_prompt(1, 100), 61);
  Sequence* const job[] = {&sequence};
  EXPECT_THROW(scheduler.run(job), DataError);
}

TEST_F(SchedulerTest, TenantsShareEvenly) {
  const auto [many, few] = ends_of(decoder_, {.tenant = "a"}, {.tenant = "b"});
  EXPECT_LT(few, many);
  EXPECT_LT(few, 3 * 6 * 120) << "720 positions beside a tenant with 4800 end at about 1440";
}

TEST_F(SchedulerTest, AnExceptionOfACallbackEndsItsJobAloneAndLeavesNoPage) {
  Scheduler scheduler(decoder_, 4096);
  {
    Greedy sequence(random_prompt(5, 40), 60);
    Sequence* const job[] = {&sequence};
    EXPECT_THROW(scheduler.run(job, [] { throw DataError("client left"); }), DataError);
  }
  Greedy other(random_prompt(6, 40), 5);
  Sequence* const job[] = {&other};
  scheduler.run(job);
  EXPECT_EQ(other.tokens.size(), 45u);
  EXPECT_EQ(scheduler.stats().pages_used, scheduler.stats().pages_cached);
}

// Fails when it is asked for the `question`th time after its third token whether it ended: first where a step is
// finished, then where the next one is planned.
struct Failing : Greedy {
  Failing(std::vector<TokenId> prompt, int question) : Greedy(std::move(prompt), kGenerated), questions(question) {}
  bool ended() const override {
    if (tokens.size() == prompt_size + 3 && --questions == 0) throw DataError("no answer");
    return Greedy::ended();
  }
  mutable int questions;
};

TEST_F(SchedulerTest, AnExceptionBetweenStepsFailsTheJobsOfTheTimeAndNoOthers) {
  Scheduler scheduler(decoder_, 4096);
  for (const int question : {1, 2}) {
    Failing failing(random_prompt(5, 40), question);
    Sequence* const job[] = {&failing};
    EXPECT_THROW(scheduler.run(job, {}, {.speculate = false}), DataError);
    Greedy other(random_prompt(6, 40), 5);
    Sequence* const next[] = {&other};
    scheduler.run(next);
    EXPECT_EQ(other.tokens.size(), 45u);
    EXPECT_EQ(scheduler.stats().jobs, 0);
    EXPECT_EQ(scheduler.stats().pages_used, scheduler.stats().pages_cached);
  }
}

// Waits at its third token until its caller is about to throw.
struct Thrown : Greedy {
  using Greedy::Greedy;
  void take_logits(int64_t position, std::span<const float> logits) override {
    Greedy::take_logits(position, logits);
    while (tokens.size() == prompt_size + 3 && !throws) std::this_thread::yield();
  }
  std::atomic<bool> throws = false;
};

TEST_F(SchedulerTest, AnExceptionOfACallbackGivesThePagesBackBeforeTheSequencesEnd) {
  Scheduler scheduler(decoder_, 160);
  Thrown sequence(random_prompt(5, 100), 50);
  Sequence* const job[] = {&sequence};
  const auto leave = [&] {
    sequence.throws = true;
    throw DataError("client left");
  };
  EXPECT_THROW(scheduler.run(job, leave), DataError);
  EXPECT_EQ(scheduler.stats().pages_used, scheduler.stats().pages_cached);
  Greedy other(random_prompt(6, 150), 5);  // needs all pages
  Sequence* const next[] = {&other};
  scheduler.run(next);
  EXPECT_EQ(other.tokens.size(), 155u);
}

TEST(KvPagePool, EightBitsTakeAboutHalfOfF16) {
  ModelConfig config = small_config();
  config.hidden_size = 256, config.num_kv_heads = 4;  // four heads of 64
  const int64_t heads =
      2 * config.num_layers * config.num_kv_heads;  // of a page; the room of one more lies between two
  EXPECT_EQ(KvPagePool(config).page_bytes(), (heads + 1) * kPagePositions * 64 * 2);
  EXPECT_EQ(KvPagePool(config, CacheForm::int8).page_bytes(), (heads + 1) * kPagePositions * (64 + 4));
}

TEST(PrefixCache, ForgetsAChainsEndFirstAndNothingThatIsHeld) {
  KvPagePool pages(small_config(), CacheForm::f16, 4);
  PrefixCache prefixes;
  const std::vector<TokenId> tokens = random_prompt(1, 48);
  {
    KvCache cache(pages);
    cache.reserve(48);
    cache.length = 48;
    auto chain = prefixes.begin("a");
    prefixes.store(chain, cache, tokens);
    EXPECT_EQ(prefixes.size(), 3);
    EXPECT_FALSE(prefixes.evict()) << "the sequence holds the pages";
  }
  EXPECT_TRUE(prefixes.evict());
  EXPECT_EQ(pages.available(), 2);
  KvCache cache(pages);
  auto chain = prefixes.begin("a");
  prefixes.restore(chain, cache, tokens);
  EXPECT_EQ(cache.length, 32) << "the end of the chain went first";
  KvCache other(pages);
  auto salted = prefixes.begin("b");
  prefixes.restore(salted, other, tokens);
  EXPECT_EQ(other.length, 0);
  std::vector<TokenId> changed = tokens;
  changed[3] ^= 1;
  KvCache third(pages);
  auto begun = prefixes.begin("a");
  prefixes.restore(begun, third, changed);
  EXPECT_EQ(third.length, 0) << "a page depends on every token before it";
  cache.reserve(64);
  EXPECT_THROW(other.reserve(16), Error);
}

TEST(PrefixCache, KeepsOnePageOfTheSameBits) {
  KvPagePool pages(small_config(), CacheForm::f16, 8);
  PrefixCache prefixes;
  const std::vector<TokenId> tokens = random_prompt(1, 48);
  std::deque<KvCache> caches;
  for (int i = 0; i < 2; ++i) {  // both began before either's pages were known
    KvCache& cache = caches.emplace_back(pages);
    cache.reserve(48);
    cache.length = 48;
  }
  for (KvCache& cache : caches) {
    auto chain = prefixes.begin("a");
    prefixes.store(chain, cache, tokens);
  }
  EXPECT_EQ(pages.available(), 5);
  EXPECT_EQ(caches[0].page(2), caches[1].page(2));
}

TEST(NgramDraft, ContinuesTheLatestPlaceOfTheLongestMatch) {
  const std::vector<TokenId> tokens{1, 2, 3, 9, 9, 2, 3, 7, 8, 1, 2, 3};
  EXPECT_THAT(ngram_draft(tokens, 2), testing::ElementsAre(9, 9));  // after 1 2 3, not after the later 2 3
  EXPECT_THAT(ngram_draft(std::span(tokens).first(7), 9), testing::ElementsAre(9, 9, 2, 3));
  EXPECT_TRUE(ngram_draft(tokens, 0).empty());
  EXPECT_TRUE(ngram_draft(std::vector<TokenId>{1, 2, 3}, 4).empty());
  EXPECT_TRUE(ngram_draft({}, 4).empty());
}

TEST(NgramDraft, FewerGuessesAfterWrongOnesAndMoreAfterRightOnes) {
  DraftLength length;
  EXPECT_EQ(length.next(), 2);
  for (int i = 0; i < 9; ++i) length.learn(length.next(), length.next());
  EXPECT_EQ(length.next(), 8);
  for (int i = 0; i < 3; ++i) length.learn(length.next(), 0);
  EXPECT_EQ(length.next(), 0);
  int steps = 1;
  while (length.next() == 0) ++steps;
  EXPECT_EQ(steps, 15);
  EXPECT_EQ(length.next(), 1);
}

}  // namespace
}  // namespace starling
