#include "posts/ordered_pipeline.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>

#include "core/error.h"

namespace starling {
namespace {

struct Square {
  int number = 0, square = 0;
};

// Batches that take unequal time, so that they finish out of order.
std::vector<int> squares(int count, int threads) {
  int next = 0;
  std::vector<int> taken;
  OrderedPipeline<Square>({[&](Square& batch) { return (batch.number = next++) < count; },
                           [](Square& batch) {
                             std::this_thread::sleep_for(std::chrono::microseconds(batch.number % 7 * 50));
                             batch.square = batch.number * batch.number;
                           },
                           [&](Square& batch) { taken.push_back(batch.square); }})
      .run(threads);
  return taken;
}

TEST(OrderedPipeline, TakesEveryBatchOnceInTheOrderItWasMadeWhateverTheThreads) {
  std::vector<int> wanted;
  for (int i = 0; i < 200; ++i) wanted.push_back(i * i);
  for (const int threads : {1, 2, 5}) EXPECT_EQ(squares(200, threads), wanted) << threads << " threads";
  EXPECT_TRUE(squares(0, 3).empty());
}

TEST(OrderedPipeline, HoldsAtMostThreeBatchesAThread) {
  std::atomic<int> made = 0, taken = 0, most = 0;
  OrderedPipeline<Square>({[&](Square& batch) {
                             most = std::max(most.load(), made - taken);
                             return (batch.number = made++) < 300;
                           },
                           [](Square&) {}, [&](Square&) { ++taken; }})
      .run(4);
  EXPECT_LE(most, 12);
}

TEST(OrderedPipeline, AFailureOfAnyStageEndsAllAndIsThrown) {
  for (const int stage : {0, 1, 2}) {
    int next = 0, taken = 0;
    const auto fail_at = [&](int where, int number) {
      if (where == stage && number == 20) throw DataError("batch 20");
    };
    OrderedPipeline<Square> pipeline({[&](Square& batch) {
                                        batch.number = next++;
                                        fail_at(0, batch.number);
                                        return batch.number < 1000;
                                      },
                                      [&](Square& batch) { fail_at(1, batch.number); },
                                      [&](Square& batch) {
                                        fail_at(2, batch.number);
                                        ++taken;
                                      }});
    EXPECT_THROW(pipeline.run(3), DataError) << "stage " << stage;
    EXPECT_LE(taken, 20);
  }
}

}  // namespace
}  // namespace starling
