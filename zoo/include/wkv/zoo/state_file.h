// What a language model has read, in a file, to be resumed: its state, and for a context the last hidden values too.
#pragma once
#include <filesystem>

#include "wkv/export.h"
#include "wkv/models/state.h"
#include "wkv/zoo/generate.h"

namespace wkv::zoo {

// One .safetensors file, written whole or not at all. Throws wkv::Error for the empty state, which has nothing to keep.
WKV_API void save_state(const std::filesystem::path& path, const models::State& state);
WKV_API void save_context(const std::filesystem::path& path, const Context& context);

// What either of them wrote, on the CPU; of a state alone a context without hidden values. Throws wkv::Error for any
// other file. Whether the state fits a model is for the model to say.
WKV_API models::State load_state(const std::filesystem::path& path);
WKV_API Context load_context(const std::filesystem::path& path);

}  // namespace wkv::zoo
