// Collectives between the ranks of one training job. The world of one process is `self`; the trainer is written against
// this interface only, so that threads, MPI or NCCL can take its place.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "tensor/tensor.h"

namespace starling {

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // values = mean over ranks of values, in the order of the ranks, so that every rank gets the same bits. f32.
  virtual void all_reduce_mean(Tensor values) = 0;
  virtual double all_reduce_sum(double value) = 0;
  virtual void barrier() = 0;
};

// kind: "self". Throws CommError for a kind that this build does not have.
std::unique_ptr<Communicator> make_communicator(const std::string& kind);

}  // namespace starling
