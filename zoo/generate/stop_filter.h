// Lets text through up to the first stop string, and holds back what may yet become one.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "wkv/export.h"

namespace wkv {

class WKV_API StopFilter {
 public:
  // Throws wkv::Error for an empty stop string.
  explicit StopFilter(std::vector<std::string> stops);

  // What may be shown now that these bytes came. Nothing of a stop string or behind one is ever returned.
  std::string push(std::string_view bytes);
  // At the end: what was held back and became no stop string.
  std::string flush();
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string pending_;
  bool stopped_ = false;
};

}  // namespace wkv
