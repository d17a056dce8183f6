// A process group over TCP connections, of PyTorch's c10d and Gloo. For tensors of the CPU.
#pragma once
#include <memory>

#include "train/process_group.h"

namespace wkv::zoo {

std::unique_ptr<ProcessGroup> join_gloo(const Rendezvous& rendezvous);

}  // namespace wkv::zoo
