// libFuzzer: any bytes as a safetensors file, or (beginning with '{' or '[') as the JSON files beside one.
//   build/asan/safetensors_fuzz -max_total_time=60 NEW_FOLDER tests/formats/corpus/safetensors
#include "tests/formats/walk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  accelerate::testing::walk_safetensors({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
