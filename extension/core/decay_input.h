// The raw decay as the matrix-state ops (wkv5, wkv6, wkv7) are given it.
#pragma once

namespace wkv {

struct DecayInput {
  const void* w;
  bool float_w;    // w is fp32, whatever the io dtype
  bool log_decay;  // the factor is exp(w), else exp(-exp(w))
};

}  // namespace wkv
