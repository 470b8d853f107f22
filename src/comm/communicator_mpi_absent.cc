#include "comm/communicator_mpi.h"
#include "core/error.h"

namespace starling {

std::unique_ptr<Communicator> make_mpi_communicator() {
  throw CommError("this program was built without MPI; build it with `make build PRESET=mpi`");
}

}  // namespace starling
