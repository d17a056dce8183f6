// Mutations of a safetensors file by its parts: the header stays JSON of the length that the file says, so that what
// comes behind the first checks is reached.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "dice.h"

namespace wkv::fuzz {

class SafetensorsMutator {
  using json = nlohmann::json;

 public:
  SafetensorsMutator(const std::string& file, Dice& dice) : dice_(dice) {
    uint64_t length = 0;
    if (file.size() < sizeof length) return;
    std::memcpy(&length, file.data(), sizeof length);
    length = std::min<uint64_t>(length, file.size() - sizeof length);
    const json header = json::parse(file.substr(sizeof length, length), nullptr, /*allow_exceptions=*/false);
    if (!header.is_object()) return;
    for (const auto& [name, value] : header.items()) members_.emplace_back(name, value);
    data_ = file.substr(sizeof length + length);
  }

  bool valid() const { return !members_.empty(); }

  std::string mutate() {
    for (size_t i = 0; i <= dice_.below(3); ++i) mutate_member();
    if (dice_.one_in(2)) repair();
    std::string header;
    for (const auto& [name, value] : members_)
      header += (header.empty() ? "{" : ",") + json(name).dump() + ":" + value.dump();
    header += "}" + std::string(dice_.one_in(4) ? dice_.below(9) : 0, ' ');
    if (dice_.one_in(8)) header = mutate_bytes(header, 16);
    const uint64_t length = header.size();
    return std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + data_;
  }

 private:
  void mutate_member() {
    const size_t index = dice_.below(members_.size());
    auto& [name, value] = members_[index];
    switch (dice_.below(8)) {
      case 0:
        name = dice_.one_in(2) ? mutate_bytes_as_text(name) : dice_.pick(members_).first;
        break;
      case 1:
        members_.push_back(members_[index]);
        break;  // a name that stands there twice
      case 2:
        if (members_.size() > 1) members_.erase(members_.begin() + static_cast<std::ptrdiff_t>(index));
        break;
      case 3:
        members_.emplace_back("__metadata__", json{{"key", "value"}});
        break;
      case 4:
        value = json::array({value});
        break;
      case 5:
        if (value.is_object()) value["dtype"] = dice_.pick(kDtypes);
        break;
      case 6:
        if (value.is_object()) mutate_list(value["shape"]);
        break;
      default:
        if (value.is_object()) mutate_list(value["data_offsets"]);
        break;
    }
  }

  void mutate_list(json& list) {
    if (!list.is_array() || list.empty() || dice_.one_in(4)) {
      list.is_array() && list.size() < 70 ? list.push_back(dice_.number()) : void(list = json::array({dice_.number()}));
    } else if (dice_.one_in(4)) {
      list.erase(dice_.below(list.size()));
    } else {
      list[dice_.below(list.size())] = dice_.number();
    }
  }

  // Gives every tensor of a modest shape the place behind the one before, and the file as much data.
  void repair() {
    int64_t end = 0;
    for (auto& [name, value] : members_) {
      if (!value.is_object() || !value.contains("shape") || !value["shape"].is_array()) continue;
      int64_t bytes = value.value("dtype", json()) == "F32" ? 4 : value.value("dtype", json()) == "BF16" ? 2 : 1;
      for (const json& size : value["shape"])
        bytes = size.is_number_integer() && size >= 0 && size < 1000 && bytes < 10000 ? bytes * size.get<int64_t>() : 0;
      value["data_offsets"] = {end, end + bytes};
      end += bytes;
    }
    data_.resize(static_cast<size_t>(std::min<int64_t>(end, 60000)));
  }

  std::string mutate_bytes_as_text(const std::string& text) {
    std::string changed = mutate_bytes(text, 8);
    for (char& c : changed) c &= 0x7f;  // JSON texts are UTF-8
    return changed;
  }

  static constexpr const char* kDtypes[] = {"F64", "F32", "F16",  "BF16",    "I64", "I32", "I16",
                                            "I8",  "U8",  "BOOL", "F8_E4M3", "U16", ""};

  Dice& dice_;
  std::vector<std::pair<std::string, json>> members_;
  std::string data_;
};

inline std::string mutate_safetensors(const std::string& file, Dice& dice) {
  SafetensorsMutator mutator(file, dice);
  return mutator.valid() ? mutator.mutate() : mutate_bytes(file, 64);
}

}  // namespace wkv::fuzz
