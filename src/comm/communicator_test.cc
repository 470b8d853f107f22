#include "comm/communicator.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <thread>

#include "core/error.h"

namespace starling {
namespace {

// What holds in a world of any kind. Under mpirun this program is one rank of MPI's world; the rest are threads.
void check_collectives(Communicator& world) {
  const int size = world.size(), rank = world.rank();
  std::vector<float> values(1000);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = 1.0f / static_cast<float>(i + 3 * static_cast<size_t>(rank) + 1);
  world.all_reduce_sum(Tensor{values.data(), DType::f32, {1000}});
  for (size_t i = 0; i < values.size(); ++i) {
    float sum = 0;  // in the order of the ranks: the same bits, not only nearly
    for (int other = 0; other < size; ++other) sum += 1.0f / static_cast<float>(i + 3 * static_cast<size_t>(other) + 1);
    ASSERT_EQ(values[i], sum) << "place " << i;
  }
  EXPECT_EQ(world.all_reduce_sum(rank + 1.0), size * (size + 1) / 2.0);
  EXPECT_EQ(world.all_gather(rank * 2.0).back(), 2.0 * (size - 1));
  int64_t word = rank == 0 ? 123456789 : 0;
  world.broadcast(std::as_writable_bytes(std::span(&word, 1)));
  EXPECT_EQ(word, 123456789);
  float few = 1;  // fewer values than ranks
  world.all_reduce_sum(Tensor{&few, DType::f32, {1}});
  EXPECT_EQ(few, static_cast<float>(size));
  world.barrier();
}

void on_threads(int count, const std::function<void(Communicator&)>& body) {
  auto ranks = make_thread_communicators(count);
  std::vector<std::thread> threads;
  for (auto& rank : ranks)
    threads.emplace_back([&body, rank = std::move(rank)]() mutable {
      body(*rank);
      rank.reset();
    });
  for (std::thread& thread : threads) thread.join();
}

TEST(Communicator, AloneASumIsTheValueItself) { check_collectives(*make_communicator("self")); }

TEST(Communicator, ThreadsSumInTheOrderOfTheirRanks) {
  for (int count : {1, 2, 3, 7}) on_threads(count, check_collectives);
}

TEST(Communicator, TheWorldThisProcessWasStartedInSumsInTheOrderOfItsRanks) {
  check_collectives(*make_communicator("auto"));
}

TEST(Communicator, DifferentShapesAreAnErrorOnEveryRank) {
  on_threads(2, [](Communicator& world) {
    float values[2] = {1, 2};
    EXPECT_THROW(world.all_reduce_sum(Tensor{values, DType::f32, {1 + world.rank()}}), ShapeError);
  });
}

TEST(Communicator, ARankThatLeavesIsNotWaitedFor) {
  on_threads(2, [](Communicator& world) {
    if (world.rank() == 0) world.barrier();
  });
}

TEST(Communicator, WhereOneRankEndsByAnErrorTheOthersDoNotWaitForIt) {
  on_threads(3, [](Communicator& world) {
    if (world.rank() == 1) return world.fail();
    EXPECT_THROW(world.all_gather(1), CommError);
  });
}

TEST(Communicator, AKindThatDoesNotExistIsAnError) { EXPECT_THROW(make_communicator("pigeon"), CommError); }

}  // namespace
}  // namespace starling
