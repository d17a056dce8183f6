// How often, and after which waits, what failed is tried again.
#pragma once
#include <chrono>

#include "hub/http.h"

namespace wkv::zoo {

class Retries {
 public:
  explicit Retries(std::chrono::duration<double> delay) : delay_(delay) {}

  // Waits before the next try: as long as the server asks for, else twice as long as before, more or less, so that many
  // clients don't come back at once. Throws the failure again where it is permanent, or the last of five in a row.
  void wait_after(const HttpError& failure);
  // What was achieved since makes the next failure the first one.
  void reset() { failures_ = 0; }

 private:
  std::chrono::duration<double> delay_;
  int failures_ = 0;
};

}  // namespace wkv::zoo
