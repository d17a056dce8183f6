#include "io/pth_writer.h"

#include <fmt/format.h>

#include "io/layout.h"
#include "io/pickle_opcodes.h"
#include "io/pth_tensors.h"

namespace wkv::zoo {
namespace {

using Opcode = PickleOpcode;

// The opcodes of pickle protocol 2 that a dict of tensors needs.
class PickleWriter {
 public:
  void opcode(Opcode code) { bytes_ += static_cast<char>(code); }
  void text(std::string_view value) {
    opcode(Opcode::binunicode);
    append(static_cast<uint32_t>(value.size()));
    bytes_ += value;
  }
  void integer(int64_t value) {
    if (value == static_cast<int32_t>(value)) {
      opcode(Opcode::binint);
      append(static_cast<int32_t>(value));
    } else {
      opcode(Opcode::long1);
      append(static_cast<uint8_t>(sizeof value));
      append(value);
    }
  }
  void tuple(std::span<const int64_t> values) {
    opcode(Opcode::mark);
    for (const int64_t value : values) integer(value);
    opcode(Opcode::tuple);
  }
  void global(std::string_view module, std::string_view name) {
    opcode(Opcode::global);
    bytes_ += fmt::format("{}\n{}\n", module, name);
  }
  void protocol() {
    opcode(Opcode::proto);
    append(uint8_t{2});
  }
  const std::string& bytes() const { return bytes_; }

 private:
  template <typename number_t>
  void append(number_t value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  std::string bytes_;
};

// torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks)
void pickle_tensor(PickleWriter& pickle, const LazyTensor& tensor, const std::string& key) {
  pickle.global("torch._utils", "_rebuild_tensor_v2");
  pickle.opcode(Opcode::mark);

  pickle.opcode(Opcode::mark);
  pickle.text("storage");
  pickle.global("torch", pth_storage_class(tensor.dtype));
  pickle.text(key);
  pickle.text("cpu");
  pickle.integer(c10::multiply_integers(tensor.shape));
  pickle.opcode(Opcode::tuple);
  pickle.opcode(Opcode::binpersid);

  pickle.integer(0);
  pickle.tuple(tensor.shape);
  pickle.tuple(contiguous_strides(tensor.shape));
  pickle.opcode(Opcode::newfalse);
  pickle.global("collections", "OrderedDict");
  pickle.opcode(Opcode::empty_tuple);
  pickle.opcode(Opcode::reduce);

  pickle.opcode(Opcode::tuple);
  pickle.opcode(Opcode::reduce);
}

std::string pickle_of(const std::vector<LazyTensor>& tensors) {
  PickleWriter pickle;
  pickle.protocol();
  pickle.opcode(Opcode::empty_dict);
  pickle.opcode(Opcode::mark);
  for (size_t i = 0; i < tensors.size(); ++i) {
    pickle.text(tensors[i].name);
    pickle_tensor(pickle, tensors[i], fmt::format("{}", i));
  }
  pickle.opcode(Opcode::setitems);
  pickle.opcode(Opcode::stop);
  return pickle.bytes();
}

}  // namespace

void write_pth(const std::filesystem::path& path, std::vector<LazyTensor> tensors, uint64_t zip64_from) {
  check_writable(path, tensors);
  const std::string pickle = pickle_of(tensors);
  AtomicFile file(path);
  ZipWriter zip(file, zip64_from);
  const auto add = [&](std::string_view name, std::string_view text) {
    zip.add(fmt::format("archive/{}", name), std::as_bytes(std::span(text)));
  };
  add("data.pkl", pickle);
  add(".format_version", "1");
  add(".storage_alignment", "64");
  add("byteorder", "little");
  for (size_t i = 0; i < tensors.size(); ++i) {
    write_bytes_of(tensors[i],
                   [&](std::span<const std::byte> bytes) { zip.add(fmt::format("archive/data/{}", i), bytes); });
  }
  add("version", "3\n");
  zip.finish();
  file.commit();
}

}  // namespace wkv::zoo
