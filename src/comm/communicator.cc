#include "comm/communicator.h"

#include <fmt/format.h>

#include <cstdlib>

#include "comm/communicator_mpi.h"
#include "core/error.h"

namespace starling {
namespace {

// One rank: every sum is the value itself.
class SelfCommunicator final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void all_reduce_sum(Tensor values) override { require_shape(values, DType::f32, values.shape(), "all_reduce_sum"); }
  std::vector<double> all_gather(double value) override { return {value}; }
  void broadcast(std::span<std::byte>) override {}
  void barrier() override {}
  void fail() noexcept override {}
};

// The variables by which Open MPI, MPICH and Slurm tell a process of its world.
bool started_by_mpirun() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"})
    if (const char* size = std::getenv(name); size && std::atoi(size) > 1) return true;
  return false;
}

}  // namespace

double Communicator::all_reduce_sum(double value) {
  double sum = 0;
  for (const double part : all_gather(value)) sum += part;
  return sum;
}

std::unique_ptr<Communicator> make_communicator(const std::string& kind) {
  if (kind == "self" || (kind == "auto" && !started_by_mpirun())) return std::make_unique<SelfCommunicator>();
  if (kind == "mpi" || kind == "auto") return make_mpi_communicator();
  throw CommError(fmt::format("no communicator \"{}\"; use \"auto\", \"self\" or \"mpi\"", kind));
}

}  // namespace starling
