#include "comm/communicator_mpi.h"

#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <cstdlib>
#include <functional>

#include "core/error.h"

namespace starling {
namespace {

// Elements that one exchange sums: bounds the memory for the other ranks' parts, and keeps counts within MPI's int.
constexpr int64_t kChunk = int64_t{1} << 22;

void check(int code, const char* what) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw CommError(fmt::format("{}: {}", what, std::string(text, static_cast<size_t>(length))));
}

void initialize() {
  int initialized = 0;
  check(MPI_Initialized(&initialized), "MPI_Initialized");
  if (initialized) return;
  int provided = 0;
  check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  std::atexit([] { MPI_Finalize(); });
}

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator() {
    initialize();
    check(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
    check(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
  }
  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void all_reduce_sum(Tensor values) override {
    float* data = values.as<float>();
    for (int64_t done = 0; done < values.elements(); done += kChunk)
      sum_chunk(data + done, std::min(kChunk, values.elements() - done));
  }

  std::vector<double> all_gather(double value) override {
    std::vector<double> all(static_cast<size_t>(size_));
    check(MPI_Allgather(&value, 1, MPI_DOUBLE, all.data(), 1, MPI_DOUBLE, MPI_COMM_WORLD), "MPI_Allgather");
    return all;
  }

  void broadcast(std::span<std::byte> bytes) override {
    for (size_t done = 0; done < bytes.size(); done += static_cast<size_t>(kChunk)) {
      const size_t count = std::min(static_cast<size_t>(kChunk), bytes.size() - done);
      check(MPI_Bcast(bytes.data() + done, static_cast<int>(count), MPI_BYTE, 0, MPI_COMM_WORLD), "MPI_Bcast");
    }
  }

  void barrier() override { check(MPI_Barrier(MPI_COMM_WORLD), "MPI_Barrier"); }

  void fail() noexcept override {
    if (size_ > 1) MPI_Abort(MPI_COMM_WORLD, 1);
  }

 private:
  // MPI_Allreduce may sum in any order. Here each rank gets its range of the chunk from all, sums it in the order of
  // the ranks, and gives the sums to all.
  void sum_chunk(float* data, int64_t count) {
    std::vector<int> counts, offsets;
    for (int rank = 0; rank < size_; ++rank) {
      offsets.push_back(static_cast<int>(count * rank / size_));
      counts.push_back(static_cast<int>(count * (rank + 1) / size_) - offsets.back());
    }
    const int own = counts[static_cast<size_t>(rank_)];
    std::vector<int> own_counts(counts.size(), own), own_offsets;
    for (int rank = 0; rank < size_; ++rank) own_offsets.push_back(rank * own);
    std::vector<float> parts(counts.size() * static_cast<size_t>(own)), sums(static_cast<size_t>(own), 0.0f);
    check(MPI_Alltoallv(data, counts.data(), offsets.data(), MPI_FLOAT, parts.data(), own_counts.data(),
                        own_offsets.data(), MPI_FLOAT, MPI_COMM_WORLD),
          "MPI_Alltoallv");
    for (auto part = parts.cbegin(); part != parts.cend(); part += own)
      std::transform(sums.begin(), sums.end(), part, sums.begin(), std::plus<>());
    check(MPI_Allgatherv(sums.data(), own, MPI_FLOAT, data, counts.data(), offsets.data(), MPI_FLOAT, MPI_COMM_WORLD),
          "MPI_Allgatherv");
  }

  int rank_ = 0, size_ = 1;
};

}  // namespace

std::unique_ptr<Communicator> make_mpi_communicator() { return std::make_unique<MpiCommunicator>(); }

}  // namespace starling
