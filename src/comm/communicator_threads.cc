#include <atomic>
#include <barrier>
#include <cstring>

#include "comm/communicator.h"
#include "core/error.h"

namespace starling {
namespace {

// What the ranks of one world show each other between two meetings.
struct World {
  explicit World(int count)
      : meeting(count, {this}), tensors(static_cast<size_t>(count)), values(static_cast<size_t>(count)) {}
  // A rank that fails right after a meeting must not spoil it for those who are slow to leave it.
  struct Note {
    World* world;
    void operator()() noexcept { world->broken = world->failed; }
  };
  std::barrier<Note> meeting;
  std::atomic<bool> failed = false;
  bool broken = false;  // the last meeting took place without a rank that failed
  std::vector<Tensor> tensors;
  std::vector<double> values;
  std::span<std::byte> root_bytes;
};

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(std::shared_ptr<World> world, int rank) : world_(std::move(world)), rank_(rank) {}
  ~ThreadCommunicator() override { world_->meeting.arrive_and_drop(); }

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(world_->tensors.size()); }

  // Each rank sums its own range of places, for all.
  void all_reduce_sum(Tensor values) override {
    values.as<float>();
    world_->tensors[static_cast<size_t>(rank_)] = values;
    barrier();
    bool same_shape = true;
    for (const Tensor& other : world_->tensors) same_shape &= other.shape() == values.shape();
    if (same_shape) sum_range(values.elements() * rank_ / size(), values.elements() * (rank_ + 1) / size());
    barrier();
    if (!same_shape) throw ShapeError("all_reduce_sum: the ranks' tensors have different shapes");
  }

  std::vector<double> all_gather(double value) override {
    world_->values[static_cast<size_t>(rank_)] = value;
    barrier();
    std::vector<double> all = world_->values;
    barrier();
    return all;
  }

  void broadcast(std::span<std::byte> bytes) override {
    if (rank_ == 0) world_->root_bytes = bytes;
    barrier();
    const std::span<std::byte> root = world_->root_bytes;
    if (root.size() == bytes.size() && rank_ != 0) std::memcpy(bytes.data(), root.data(), bytes.size());
    barrier();
    if (root.size() != bytes.size()) throw CommError("broadcast: the ranks' byte counts differ");
  }

  void barrier() override {
    world_->meeting.arrive_and_wait();
    if (world_->broken) throw CommError("another rank ended by an error");
  }

  void fail() noexcept override { world_->failed = true; }  // the destructor wakes those who wait

 private:
  void sum_range(int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float sum = 0;
      for (const Tensor& tensor : world_->tensors) sum += tensor.as<float>()[i];
      for (const Tensor& tensor : world_->tensors) tensor.as<float>()[i] = sum;
    }
  }

  std::shared_ptr<World> world_;
  int rank_;
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> make_thread_communicators(int count) {
  if (count < 1) throw CommError("a world needs at least one rank");
  const auto world = std::make_shared<World>(count);
  std::vector<std::unique_ptr<Communicator>> ranks;
  for (int rank = 0; rank < count; ++rank) ranks.push_back(std::make_unique<ThreadCommunicator>(world, rank));
  return ranks;
}

}  // namespace starling
