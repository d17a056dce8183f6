// Functions on raw pointers by the kind of device that the memory is of: for what is no operator, the dispatcher's
// part.
#pragma once
#include "wkv/decode_matrix.h"

namespace wkv {

template <class Functions>
class FunctionsOfDevice {
 public:
  constexpr explicit FunctionsOfDevice(const Functions* cpu) : of_{cpu, nullptr} {}
  const Functions* of(DeviceKind kind) const { return of_[static_cast<int>(kind)]; }
  void set(DeviceKind kind, const Functions* functions) { of_[static_cast<int>(kind)] = functions; }

 private:
  const Functions* of_[2];
};

}  // namespace wkv
