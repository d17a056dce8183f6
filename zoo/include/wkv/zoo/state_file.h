// The state of a language model in a file: what it has read can be kept and resumed.
#pragma once
#include <filesystem>

#include "wkv/export.h"
#include "wkv/models/state.h"

namespace wkv::zoo {

// One .safetensors file, written whole or not at all: a tensor an entry, and the entries' order in the metadata.
// hidden: the final hidden values of the last token read, kept beside it where given: text can go on from them without a
// prompt (see wkv::Context). Throws wkv::Error for the empty state, which has nothing to keep.
WKV_API void save_state(const std::filesystem::path& path, const models::State& state, const at::Tensor& hidden = {});

// What save_state wrote, on the CPU. Throws wkv::Error for any other file. Whether the state fits a model is for the
// model to say. hidden: where to put those values; undefined where the file has none.
WKV_API models::State load_state(const std::filesystem::path& path, at::Tensor* hidden = nullptr);

}  // namespace wkv::zoo
