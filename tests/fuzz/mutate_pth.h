// Mutations of the two containers of torch.save. In the zip archive the sizes and the checksums are put right, without
// which no changed pickle would be read.
#pragma once
#include <string>
#include <vector>

#include "io/zip_reader.h"
#include "mutate_pickle.h"
#include "wkv/error.h"
#include "zoo/io_files.h"

namespace wkv::fuzz {

inline std::vector<test::ZipPart> zip_parts(std::string file) {
  std::vector<test::ZipPart> parts;
  try {
    const zoo::ZipReader zip(std::as_writable_bytes(std::span(file)), "input");
    for (const zoo::ZipEntry& entry : zip.entries())
      parts.push_back(
          {std::string(entry.name), std::string(reinterpret_cast<const char*>(entry.data.data()), entry.data.size())});
  } catch (const Error&) {  // not an archive any more
  }
  return parts;
}

inline std::string mutate_pth(const std::string& file, Dice& dice) {
  std::vector<test::ZipPart> parts = zip_parts(file);
  if (parts.empty()) return mutate_bytes(file, 64);
  test::ZipPart& part = dice.pick(parts);
  switch (dice.below(8)) {
    case 0:
      part.name = dice.one_in(2) ? mutate_bytes(part.name, 4) : dice.pick(parts).name;
      break;
    case 1:
      part.data = mutate_bytes(part.data, 32);
      break;
    case 2:
      parts.erase(parts.begin() + (&part - parts.data()));
      break;
    default:
      for (test::ZipPart& each : parts)
        if (each.name.ends_with("data.pkl")) each.data = mutate_pickle(each.data, dice);
  }
  std::string mutated = test::zip_file(parts);
  if (dice.one_in(8)) {  // a field of the directory, which is behind the parts
    const size_t back = std::min(mutated.size(), 22 + dice.below(64));
    const int64_t number = dice.number();
    std::memcpy(mutated.data() + mutated.size() - back, &number, std::min<size_t>(back, dice.one_in(2) ? 2 : 4));
  }
  return mutated;
}

// Five pickles, then the storages.
inline std::string mutate_pth_legacy(const std::string& file, Dice& dice) {
  constexpr size_t kPickles = 5, kSystem = 2;  // those before it are magic numbers
  std::vector<std::string> pickles;
  size_t at = 0;
  while (pickles.size() < kPickles && at < file.size()) {
    std::string& pickle = pickles.emplace_back();
    for (const std::string& opcode : pickle_opcodes(std::string_view(file).substr(at))) pickle += opcode;
    at += pickle.size();
  }
  if (pickles.size() < kPickles) return mutate_bytes(file, 64);
  std::string storages = file.substr(at);
  if (dice.one_in(4)) {
    storages = mutate_bytes(storages, 32);
  } else {
    std::string& pickle = pickles[kSystem + dice.below(kPickles - kSystem)];
    pickle = mutate_pickle(pickle, dice);
  }
  std::string mutated;
  for (const std::string& pickle : pickles) mutated += pickle;
  return mutated + storages;
}

}  // namespace wkv::fuzz
