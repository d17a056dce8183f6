// Mutations of a pickle by its opcodes: each keeps an argument of the right length, so that the machine goes on.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "dice.h"
#include "io/pickle_opcodes.h"

namespace wkv::fuzz {

// The opcodes of a pickle, each with its argument, up to its end or to what is none.
inline std::vector<std::string> pickle_opcodes(std::string_view pickle) {
  using Opcode = zoo::PickleOpcode;
  const auto number_at = [&](size_t at, size_t bytes) {
    uint64_t number = 0;
    if (at + bytes <= pickle.size()) std::memcpy(&number, pickle.data() + at, bytes);
    return number;
  };
  const auto line_end = [&](size_t at) { return std::min(pickle.find('\n', at), pickle.size()); };
  std::vector<std::string> opcodes;
  for (size_t at = 0; at < pickle.size();) {
    uint64_t length = 1;  // of the opcode with its argument
    const auto opcode = static_cast<Opcode>(pickle[at]);
    // clang-format off
    switch (opcode) {
      case Opcode::proto: case Opcode::binint1: case Opcode::binput: case Opcode::binget: length = 2; break;
      case Opcode::binint2: length = 3; break;
      case Opcode::binint: case Opcode::long_binput: case Opcode::long_binget: length = 5; break;
      case Opcode::frame: case Opcode::binfloat: length = 9; break;
      case Opcode::long1: case Opcode::short_binunicode: case Opcode::short_binstring: case Opcode::short_binbytes:
        length = 2 + number_at(at + 1, 1); break;
      case Opcode::long4: case Opcode::binunicode: case Opcode::binstring: case Opcode::binbytes:
        length = 5 + number_at(at + 1, 4); break;
      case Opcode::binunicode8: case Opcode::binbytes8: case Opcode::bytearray8:
        length = 9 + std::min<uint64_t>(number_at(at + 1, 8), pickle.size()); break;
      case Opcode::global: length = line_end(line_end(at + 1) + 1) + 1 - at; break;
      default: break;
    }
    // clang-format on
    opcodes.emplace_back(pickle.substr(at, length));
    at += opcodes.back().size();
    if (opcode == Opcode::stop) break;
  }
  return opcodes;
}

inline std::string random_opcode(Dice& dice) {
  using Opcode = zoo::PickleOpcode;
  static constexpr Opcode kPlain[] = {Opcode::mark,     Opcode::pop,          Opcode::pop_mark,    Opcode::dup,
                                      Opcode::none,     Opcode::newtrue,      Opcode::empty_list,  Opcode::list,
                                      Opcode::append,   Opcode::appends,      Opcode::empty_tuple, Opcode::tuple,
                                      Opcode::tuple1,   Opcode::tuple2,       Opcode::tuple3,      Opcode::empty_dict,
                                      Opcode::dict,     Opcode::setitem,      Opcode::setitems,    Opcode::empty_set,
                                      Opcode::additems, Opcode::frozenset,    Opcode::memoize,     Opcode::reduce,
                                      Opcode::newobj,   Opcode::stack_global, Opcode::newobj_ex,   Opcode::build,
                                      Opcode::obj,      Opcode::binpersid,    Opcode::stop};
  const int64_t number = dice.number();
  const auto with = [&](Opcode opcode, size_t bytes) {
    return static_cast<char>(opcode) + std::string(reinterpret_cast<const char*>(&number), bytes);
  };
  const auto few = static_cast<char>(dice.below(32));
  switch (dice.below(8)) {
    case 0:
      return with(Opcode::binint, 4);
    case 1:
      return with(Opcode::long1, 0) + '\x08' + std::string(reinterpret_cast<const char*>(&number), 8);
    case 2:
      return {static_cast<char>(Opcode::binint1), few};
    case 3:
      return {static_cast<char>(Opcode::binput), few};
    case 4:
      return {static_cast<char>(Opcode::binget), few};
    default:
      return {static_cast<char>(dice.pick(kPlain))};
  }
}

// A pickle with a few opcodes inserted, removed, repeated, exchanged or given another argument.
inline std::string mutate_pickle(std::string_view pickle, Dice& dice) {
  std::vector<std::string> opcodes = pickle_opcodes(pickle);
  for (size_t i = 0; i <= dice.below(4); ++i) {
    const size_t at = dice.below(opcodes.size());
    const auto place = opcodes.begin() + static_cast<std::ptrdiff_t>(at);
    if (opcodes.empty() || dice.one_in(4)) {
      opcodes.insert(place, random_opcode(dice));
      continue;
    }
    switch (dice.below(5)) {
      case 0:
        opcodes.erase(place);
        break;
      case 1:
        opcodes[at] = random_opcode(dice);
        break;
      case 2:
        std::swap(opcodes[at], dice.pick(opcodes));
        break;
      case 3:
        opcodes.insert(place, std::string(dice.pick(opcodes)));
        break;
      default:  // the argument, its length kept
        if (std::string& opcode = opcodes[at]; opcode.size() > 1)
          opcode[1 + dice.below(opcode.size() - 1)] = static_cast<char>(dice.number());
    }
  }
  std::string mutated;
  for (const std::string& opcode : opcodes) mutated += opcode;
  return mutated;
}

}  // namespace wkv::fuzz
