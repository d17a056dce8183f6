// The opcodes of pickle protocol 2 to 5 that a file of torch.save may hold; names as in Python's pickletools.
#pragma once
#include <cstdint>

namespace wkv::zoo {

// clang-format off
enum class PickleOpcode : uint8_t {
  proto = 0x80, frame = 0x95, stop = '.', mark = '(', pop = '0', pop_mark = '1', dup = '2',
  none = 'N', newtrue = 0x88, newfalse = 0x89, binint = 'J', binint1 = 'K', binint2 = 'M', long1 = 0x8a, long4 = 0x8b, binfloat = 'G',
  binunicode = 'X', short_binunicode = 0x8c, binunicode8 = 0x8d, binstring = 'T', short_binstring = 'U',
  binbytes = 'B', short_binbytes = 'C', binbytes8 = 0x8e, bytearray8 = 0x96,
  empty_list = ']', list = 'l', append = 'a', appends = 'e', empty_tuple = ')', tuple = 't', tuple1 = 0x85, tuple2 = 0x86, tuple3 = 0x87,
  empty_dict = '}', dict = 'd', setitem = 's', setitems = 'u', empty_set = 0x8f, additems = 0x90, frozenset = 0x91,
  binput = 'q', long_binput = 'r', memoize = 0x94, binget = 'h', long_binget = 'j',
  global = 'c', stack_global = 0x93, reduce = 'R', newobj = 0x81, newobj_ex = 0x92, build = 'b', obj = 'o', binpersid = 'Q',
};
// clang-format on

}  // namespace wkv::zoo
