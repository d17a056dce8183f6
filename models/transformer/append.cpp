#include "transformer/append.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/InferenceMode.h>

#include <atomic>
#include <memory>

namespace wkv::models {
namespace {

// Memory [B, capacity, ...] whose first rows are in use by one past or another. Pasts that lie in it hold it as the
// context of their storage, which is how the next call finds it.
struct Room {
  at::Tensor buffer;
  std::atomic<int64_t> used;

  // The rows from `begin` to `end`, for the one caller whose past ends where the used rows do.
  bool take(int64_t begin, int64_t end) { return end <= buffer.size(1) && used.compare_exchange_strong(begin, end); }
};

void delete_room(void* room) { delete static_cast<Room*>(room); }

// The room that this past lies in, from its beginning; null: in none.
Room* room_of(const at::Tensor& past) {
  auto* const room = past.storage().data_ptr().cast_context<Room>(&delete_room);
  if (!room) return nullptr;
  const at::Tensor& buffer = room->buffer;
  const bool same = past.storage_offset() == 0 && past.strides() == buffer.strides() &&
                    past.scalar_type() == buffer.scalar_type() && past.size(0) == buffer.size(0) &&
                    past.sizes().slice(2) == buffer.sizes().slice(2);
  // Outside of inference mode torch refuses to write into what was made inside.
  return same && (!past.is_inference() || c10::InferenceMode::is_enabled()) ? room : nullptr;
}

// The first `used` rows of a new room.
at::Tensor make_room(const at::Tensor& like, int64_t used) {
  std::vector<int64_t> sizes = like.sizes().vec();
  sizes[1] = used + used / 2 + 1;
  auto room = std::make_unique<Room>(at::empty(sizes, like.options()), used);
  const at::Tensor buffer = room->buffer;
  return at::for_blob(buffer.mutable_data_ptr(), sizes)
      .context(room.release(), &delete_room)
      .options(buffer.options())
      .target_device(buffer.device())
      .make_tensor()
      .narrow(1, 0, used);
}

}  // namespace

at::Tensor append(const at::Tensor& past, const at::Tensor& rows) {
  const int64_t before = past.size(1), after = before + rows.size(1);
  if (before == 0) return rows;
  if (at::GradMode::is_enabled()) return at::cat({past.to(rows.scalar_type()), rows}, 1);
  Room* const room = past.scalar_type() == rows.scalar_type() ? room_of(past) : nullptr;
  at::Tensor joined;
  if (room && room->take(before, after)) {
    std::vector<int64_t> sizes = past.sizes().vec();
    sizes[1] = after;
    joined = past.as_strided(sizes, past.strides());
  } else {
    joined = make_room(rows, after);
    joined.narrow(1, 0, before).copy_(past);
  }
  joined.narrow(1, before, rows.size(1)).copy_(rows);
  return joined;
}

}  // namespace wkv::models
