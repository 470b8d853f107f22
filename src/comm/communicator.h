// Collectives between the ranks of one training job. The trainer is written against this interface only; the world of
// one process is `self`, threads of one process serve tests, MPI joins processes and machines.
//
// Every rank calls the same collectives in the same order. Sums are taken in the order of the ranks, so that every rank
// gets the same bits and a run repeats for the same number of ranks. Throws CommError, ShapeError for another type than
// f32.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace starling {

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual void all_reduce_sum(Tensor values) = 0;  // values[i] = sum over ranks of values[i]; one shape on all ranks
  virtual std::vector<double> all_gather(double value) = 0;  // of every rank, in their order
  virtual void broadcast(std::span<std::byte> bytes) = 0;    // rank 0's bytes, of one length on all ranks
  virtual void barrier() = 0;
  // This rank ends by an error: the others, which would wait for it forever, fail too. Threads throw CommError at their
  // next collective; with MPI every process of the world ends with status 1, this one included, so say why before.
  virtual void fail() noexcept = 0;

  double all_reduce_sum(double value);
};

// "self", "mpi" or "auto": MPI where mpirun started this process, else self. With MPI the first call initialises it and
// the process's end finalises it. Throws CommError for a kind that this build does not have, and for "auto" under
// mpirun in a build without MPI: each process would train on its own.
std::unique_ptr<Communicator> make_communicator(const std::string& kind);

// The ranks of a world inside this process, one for each of `count` threads. A rank that is destroyed leaves the world:
// the others do not wait for it.
std::vector<std::unique_ptr<Communicator>> make_thread_communicators(int count);

}  // namespace starling
