// immintrin.h without g++ 12's false alarm: its AVX-512 header initializes "undefined" vectors with themselves (GCC bug 105593).
// For files of one instruction set only; the suppression lasts to the end of the file, where inlining reports it.
#pragma once

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include <immintrin.h>

/// Static member functions of vector structs: always inlined, so no function compiled for one instruction set can stand in
/// for one of another at link time.
#define ACC_INLINE [[gnu::always_inline]] static inline
