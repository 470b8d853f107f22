// Private to comm: the world that mpirun started this process in. Source: MPI: A Message-Passing Interface
// Standard 3.1.
#pragma once

#include <memory>

#include "comm/communicator.h"

namespace starling {

std::unique_ptr<Communicator> make_mpi_communicator();  // throws CommError in a build without MPI

}  // namespace starling
