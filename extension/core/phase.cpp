#include "core/phase.h"

#include <thread>

namespace wkv {

void yield_thread() { std::this_thread::yield(); }

}  // namespace wkv
