// The embeddings of a run that has not ended, on the disk as they come: a run that was interrupted goes on from there.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "wkv/export.h"
#include "wkv/zoo/embeddings.h"

namespace wkv::zoo {

// The file `<output>.partial`: a line that says what the vectors depend on, then records: the length of a name
// (uint32), the name, the vector (fp32). A record that an interruption cut off is dropped. Members throw wkv::Error,
// which names the file.
class PartialEmbeddings {
 public:
  // Opens what an earlier run left, or begins. origin: one line that two runs share only when they give the same
  // vectors for the same names; a file of another origin is refused, and so is one that another process writes.
  WKV_API PartialEmbeddings(const std::string& output, const std::string& origin, int64_t width);
  WKV_API ~PartialEmbeddings();  // without records the file goes, too
  PartialEmbeddings(const PartialEmbeddings&) = delete;
  PartialEmbeddings& operator=(const PartialEmbeddings&) = delete;

  bool contains(const std::string& name) const { return places_.contains(name); }
  WKV_API void append(const std::vector<std::string>& names, const at::Tensor& vectors);  // fp32 [n, width]
  // The vectors of those of these names that there are, in their order.
  WKV_API Embeddings of(const std::vector<std::string>& names) const;
  WKV_API void remove();  // when the output is written

 private:
  void read_records(std::string_view head);
  [[noreturn]] void fail(const char* action) const;

  std::string path_;
  int64_t width_;
  int descriptor_ = -1;
  std::unordered_map<std::string, int64_t> places_;  // where a name's vector begins in the file
  int64_t end_ = 0;                                  // of the last whole record
};

}  // namespace wkv::zoo
