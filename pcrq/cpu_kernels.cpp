// Kernels for the CPU, called from cpu_kernels.py through plain C functions: the quantizer of point clouds, and the
// layers of octree networks.
//
// All matrices are row-major and contiguous; node indices are int32. Every sum is computed in a fixed order, so results
// do not vary from run to run; only the weight gradient depends on the number of threads.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace {

using std::int32_t;
using std::int64_t;
using std::uint8_t;

constexpr int64_t kTile = 128;  // targets whose pairs are stored together, so that their features stay in the cache

// All threads, or one if there is so little work that waiting for the others would take longer. (Teams of changing sizes
// would make OpenMP start and end threads.)
int64_t team(int64_t threads, int64_t operations) { return operations < 100000 ? 1 : threads; }

template <typename T>
struct Simd {
  typedef T type __attribute__((vector_size(32), aligned(sizeof(T)), may_alias));
  static constexpr int64_t lanes = 32 / sizeof(T);
};

template <typename T>
typename Simd<T>::type load(const T* p) {
  return *reinterpret_cast<const typename Simd<T>::type*>(p);
}

template <typename T>
void store(T* p, typename Simd<T>::type v) {
  *reinterpret_cast<typename Simd<T>::type*>(p) = v;
}

// Add data[source] @ weights to the rows out[target], for R pairs and V vectors of columns at once.
template <typename T, int R, int V>
void multiply_rows(T* out, const T* data, const T* weights, const int32_t* target, const int32_t* source, int64_t in,
                   int64_t columns) {
  using vector = typename Simd<T>::type;
  vector sum[R][V];
  const T* row[R];
  for (int r = 0; r < R; ++r) {
    row[r] = data + source[r] * in;
    for (int v = 0; v < V; ++v) sum[r][v] = load(out + target[r] * columns + v * Simd<T>::lanes);
  }
  for (int64_t i = 0; i < in; ++i) {
    vector weight[V];
    for (int v = 0; v < V; ++v) weight[v] = load(weights + i * columns + v * Simd<T>::lanes);
    for (int r = 0; r < R; ++r)
      for (int v = 0; v < V; ++v) sum[r][v] += row[r][i] * weight[v];
  }
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) store(out + target[r] * columns + v * Simd<T>::lanes, sum[r][v]);
}

template <typename T, int R, int V>
void multiply_pairs(T* out, const T* data, const T* weights, const int32_t* target, const int32_t* source, int64_t count,
                    int64_t in, int64_t columns) {
  int64_t p = 0;
  for (; p + R <= count; p += R) multiply_rows<T, R, V>(out, data, weights, target + p, source + p, in, columns);
  for (; p < count; ++p) multiply_rows<T, 1, V>(out, data, weights, target + p, source + p, in, columns);
}

// Pairs are sorted by tile of kTile targets, then by offset; begin[tile * offsets + offset] is the first of each group.
template <typename T>
void convolve(T* out, const T* data, const T* weights, const int64_t* begin, const int32_t* target,
              const int32_t* source, int64_t rows, int64_t offsets, int64_t in, int64_t columns, int64_t threads) {
  constexpr int64_t lanes = Simd<T>::lanes;
  threads = team(threads, begin[(rows + kTile - 1) / kTile * offsets] * in * columns / 8);
#pragma omp parallel for schedule(dynamic, 4) num_threads(threads)
  for (int64_t tile = 0; tile < (rows + kTile - 1) / kTile; ++tile) {
    int64_t height = std::min(kTile, rows - tile * kTile);
    std::memset(out + tile * kTile * columns, 0, height * columns * sizeof(T));
    for (int64_t k = 0; k < offsets; ++k) {
      int64_t first = begin[tile * offsets + k], count = begin[tile * offsets + k + 1] - first;
      const T* w = weights + k * in * columns;
      int64_t c = 0;
      for (; c + 2 * lanes <= columns; c += 2 * lanes)
        multiply_pairs<T, 6, 2>(out + c, data, w + c, target + first, source + first, count, in, columns);
      for (; c < columns; c += lanes)
        multiply_pairs<T, 8, 1>(out + c, data, w + c, target + first, source + first, count, in, columns);
    }
  }
}

// Add the outer products of data[source] and grad[target] to R rows and V vectors of columns of a weight gradient.
template <typename T, int R, int V>
void outer_products(T* out, const T* data, const T* grad, const int32_t* target, const int32_t* source, int64_t count,
                    int64_t in, int64_t columns) {
  using vector = typename Simd<T>::type;
  vector sum[R][V];
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) sum[r][v] = load(out + r * columns + v * Simd<T>::lanes);
  for (int64_t p = 0; p < count; ++p) {
    const T* x = data + source[p] * in;
    const T* y = grad + target[p] * columns;
    for (int v = 0; v < V; ++v) {
      vector g = load(y + v * Simd<T>::lanes);
      for (int r = 0; r < R; ++r) sum[r][v] += x[r] * g;
    }
  }
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) store(out + r * columns + v * Simd<T>::lanes, sum[r][v]);
}

template <typename T, int V>
void outer_columns(T* out, const T* data, const T* grad, const int32_t* target, const int32_t* source, int64_t count,
                   int64_t in, int64_t columns) {
  int64_t r = 0;
  for (; r + 4 <= in; r += 4)
    outer_products<T, 4, V>(out + r * columns, data + r, grad, target, source, count, in, columns);
  for (; r < in; ++r)
    outer_products<T, 1, V>(out + r * columns, data + r, grad, target, source, count, in, columns);
}

template <typename T>
void convolve_weights(T* out, const T* data, const T* grad, const int64_t* begin, const int32_t* target,
                      const int32_t* source, int64_t rows, int64_t offsets, int64_t in, int64_t columns,
                      int64_t threads) {
  constexpr int64_t lanes = Simd<T>::lanes;
  int64_t tiles = (rows + kTile - 1) / kTile, size = offsets * in * columns;
  threads = team(threads, begin[tiles * offsets] * in * columns / 8);
  const int64_t count_parts = std::min(threads, std::max<int64_t>(tiles, 1));
  std::vector<T> parts(count_parts * size);
#pragma omp parallel for schedule(static, 1) num_threads(threads)
  for (int64_t part = 0; part < count_parts; ++part) {
    for (int64_t tile = tiles * part / count_parts; tile < tiles * (part + 1) / count_parts; ++tile) {
      for (int64_t k = 0; k < offsets; ++k) {
        int64_t first = begin[tile * offsets + k], count = begin[tile * offsets + k + 1] - first;
        T* sum = parts.data() + part * size + k * in * columns;
        int64_t c = 0;
        for (; c + 2 * lanes <= columns; c += 2 * lanes)
          outer_columns<T, 2>(sum + c, data, grad + c, target + first, source + first, count, in, columns);
        for (; c < columns; c += lanes)
          outer_columns<T, 1>(sum + c, data, grad + c, target + first, source + first, count, in, columns);
      }
    }
  }
#pragma omp parallel for num_threads(threads)
  for (int64_t i = 0; i < size; ++i) {
    T sum = 0;
    for (int64_t part = 0; part < count_parts; ++part) sum += parts[part * size + i];
    out[i] = sum;
  }
}

// Maximum over the rows start[m] to start[m + 1] of each segment, and its first row within the segment; -infinity for an
// empty one.
template <typename T>
void segment_max(T* out, uint8_t* which, const T* data, const int64_t* start, int64_t segments, int64_t columns,
                 int64_t threads) {
#pragma omp parallel for num_threads(team(threads, segments * columns * 4))
  for (int64_t m = 0; m < segments; ++m) {
    T* best = out + m * columns;
    uint8_t* arg = which + m * columns;
    std::memset(arg, 0, columns);
    if (start[m] == start[m + 1]) {
      std::fill(best, best + columns, -std::numeric_limits<T>::infinity());
      continue;
    }
    std::copy(data + start[m] * columns, data + (start[m] + 1) * columns, best);
    for (int64_t row = start[m] + 1; row < start[m + 1]; ++row) {
      const T* x = data + row * columns;
      const uint8_t r = static_cast<uint8_t>(row - start[m]);
      for (int64_t c = 0; c < columns; ++c) {
        bool more = x[c] > best[c] || x[c] != x[c];  // NaN wins, as in torch
        best[c] = more ? x[c] : best[c];
        arg[c] = more ? r : arg[c];
      }
    }
  }
}

template <typename T>
void segment_max_backward(T* out, const uint8_t* which, const T* grad, const int64_t* start, int64_t segments,
                          int64_t columns, int64_t threads) {
#pragma omp parallel for num_threads(team(threads, segments * columns * 4))
  for (int64_t m = 0; m < segments; ++m)
    for (int64_t row = start[m]; row < start[m + 1]; ++row)
      for (int64_t c = 0; c < columns; ++c)
        out[row * columns + c] = which[m * columns + c] == row - start[m] ? grad[m * columns + c] : T(0);
}

template <typename T>
void segment_sum(T* out, const T* data, const int64_t* start, int64_t segments, int64_t columns, int64_t threads) {
#pragma omp parallel for num_threads(team(threads, segments * columns * 4))
  for (int64_t m = 0; m < segments; ++m) {
    T* sum = out + m * columns;
    std::fill(sum, sum + columns, T(0));
    for (int64_t row = start[m]; row < start[m + 1]; ++row)
      for (int64_t c = 0; c < columns; ++c) sum[c] += data[row * columns + c];
  }
}

// Rows divided by their length, or by the smallest length that is allowed.
template <typename T>
void normalize(T* out, T* length, const T* data, int64_t rows, int64_t columns, int64_t threads) {
#pragma omp parallel for num_threads(team(threads, rows * columns * 4))
  for (int64_t row = 0; row < rows; ++row) {
    const T* x = data + row * columns;
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < columns; ++c) sum += x[c] * x[c];
    const T norm = std::sqrt(sum), divisor = norm < T(1e-12) ? T(1e-12) : norm;
    length[row] = norm;
    for (int64_t c = 0; c < columns; ++c) out[row * columns + c] = x[c] / divisor;
  }
}

template <typename T>
void normalize_backward(T* out, const T* grad, const T* unit, const T* length, int64_t rows, int64_t columns,
                        int64_t threads) {
#pragma omp parallel for num_threads(team(threads, rows * columns * 4))
  for (int64_t row = 0; row < rows; ++row) {
    const T *g = grad + row * columns, *y = unit + row * columns;
    T dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t c = 0; c < columns; ++c) dot += g[c] * y[c];
    if (length[row] < T(1e-12)) dot = 0;
    const T divisor = length[row] < T(1e-12) ? T(1e-12) : length[row];
    for (int64_t c = 0; c < columns; ++c) out[row * columns + c] = (g[c] - dot * y[c]) / divisor;
  }
}

// out[p] = sum over 8 neighbors of weight[p][j] * data[index[p][j]]; a weight of 0 marks a missing neighbor.
template <typename T>
void interpolate(T* out, const T* data, const int32_t* index, const float* weight, int64_t places, int64_t columns,
                 int64_t threads) {
#pragma omp parallel for num_threads(team(threads, places * columns * 8))
  for (int64_t p = 0; p < places; ++p) {
    T* sum = out + p * columns;
    std::fill(sum, sum + columns, T(0));
    for (int64_t j = 8 * p; j < 8 * p + 8; ++j) {
      if (weight[j] == 0) continue;
      const T* x = data + index[j] * columns;
      const T w = weight[j];
      for (int64_t c = 0; c < columns; ++c) sum[c] += w * x[c];
    }
  }
}

// The transposed sum. Threads share the columns, so that none writes where another does; out must be zero.
template <typename T>
void interpolate_backward(T* out, const T* grad, const int32_t* index, const float* weight, int64_t places,
                          int64_t columns, int64_t threads) {
  int64_t parts = std::max<int64_t>(1, std::min(team(threads, places * columns * 8), columns / 16));
#pragma omp parallel for schedule(static, 1) num_threads(parts > 1 ? threads : 1)
  for (int64_t part = 0; part < parts; ++part) {
    int64_t first = columns * part / parts, last = columns * (part + 1) / parts;
    for (int64_t j = 0; j < 8 * places; ++j) {
      if (weight[j] == 0) continue;
      T* sum = out + index[j] * columns;
      const T* g = grad + j / 8 * columns;
      const T w = weight[j];
      for (int64_t c = first; c < last; ++c) sum[c] += w * g[c];
    }
  }
}

// Minimum and maximum of the finite values of every cloud and axis; 0 and 0 if there is none.
template <typename T>
void point_range(T* low, T* high, const T* points, const int64_t* cloud, int64_t count, int64_t axes, int64_t clouds,
                 int64_t threads) {
  const T infinity = std::numeric_limits<T>::infinity();
  const int64_t size = clouds * axes;
  threads = team(threads, count * axes * 4);
  std::vector<T> lows(threads * size, infinity), highs(threads * size, -infinity);
#pragma omp parallel for schedule(static, 1) num_threads(threads)
  for (int64_t part = 0; part < threads; ++part) {
    for (int64_t p = count * part / threads; p < count * (part + 1) / threads; ++p) {
      T *least = lows.data() + part * size + cloud[p] * axes, *most = highs.data() + part * size + cloud[p] * axes;
      for (int64_t a = 0; a < axes; ++a) {
        const T x = points[p * axes + a];
        if (!std::isfinite(x)) continue;
        least[a] = std::min(least[a], x);
        most[a] = std::max(most[a], x);
      }
    }
  }
  for (int64_t i = 0; i < size; ++i) {
    T least = infinity, most = -infinity;
    for (int64_t part = 0; part < threads; ++part) {
      least = std::min(least, lows[part * size + i]);
      most = std::max(most, highs[part * size + i]);
    }
    low[i] = least <= most ? least : T(0);
    high[i] = least <= most ? most : T(0);
  }
}

// The value of the bin of every coordinate: as many ascending edges as are not above it come before its value.
template <typename T>
void quantize_points(T* out, const T* points, const int64_t* cloud, const T* edges, const T* values, int64_t count,
                     int64_t axes, int64_t bins, int64_t threads) {
#pragma omp parallel for num_threads(team(threads, count * axes * 8))
  for (int64_t p = 0; p < count; ++p) {
    for (int64_t a = 0; a < axes; ++a) {
      const T x = points[p * axes + a];
      const int64_t row = cloud[p] * axes + a;
      const T* first = edges + row * (bins - 1);
      const int64_t bin = std::upper_bound(first, first + bins - 1, x) - first;
      out[p * axes + a] = x == x ? values[row * bins + bin] : x;
    }
  }
}

}  // namespace

extern "C" {

int64_t pcrq_version() { return 2; }  // cpu_kernels.py refuses a library of another version

// Count the existing neighbors of a (rows, offsets) table by tile and offset; begin has tiles * offsets + 1 entries.
int64_t pcrq_count_pairs(const int64_t* table, int64_t rows, int64_t offsets, int64_t* begin, int64_t threads) {
  int64_t tiles = (rows + kTile - 1) / kTile;
#pragma omp parallel for num_threads(team(threads, rows * offsets))
  for (int64_t tile = 0; tile < tiles; ++tile) {
    int64_t* count = begin + tile * offsets + 1;
    std::fill(count, count + offsets, 0);
    for (int64_t row = tile * kTile; row < std::min(rows, (tile + 1) * kTile); ++row)
      for (int64_t k = 0; k < offsets; ++k) count[k] += table[row * offsets + k] >= 0;
  }
  begin[0] = 0;
  for (int64_t i = 0; i < tiles * offsets; ++i) begin[i + 1] += begin[i];
  return begin[tiles * offsets];
}

void pcrq_fill_pairs(const int64_t* table, int64_t rows, int64_t offsets, const int64_t* begin, int32_t* target,
                     int32_t* source, int64_t threads) {
#pragma omp parallel for num_threads(team(threads, rows * offsets))
  for (int64_t tile = 0; tile < (rows + kTile - 1) / kTile; ++tile) {
    for (int64_t k = 0; k < offsets; ++k) {
      int64_t next = begin[tile * offsets + k];
      for (int64_t row = tile * kTile; row < std::min(rows, (tile + 1) * kTile); ++row) {
        int64_t neighbor = table[row * offsets + k];
        if (neighbor < 0) continue;
        target[next] = static_cast<int32_t>(row);
        source[next++] = static_cast<int32_t>(neighbor);
      }
    }
  }
}

// Neighbors of the non-empty nodes of one depth, from those of their parents: a (rows, 27) table, -1 for a missing one.
void pcrq_child_neighbors(int64_t* table, const int64_t* parent_table, const int32_t* children, const int64_t* node,
                          const int64_t* lut_parent, const int64_t* lut_child, int64_t rows, int64_t threads) {
#pragma omp parallel for num_threads(team(threads, rows * 27 * 2))
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t* parents = parent_table + 27 * (node[row] >> 3);
    const int64_t octant = 27 * (node[row] & 7);
    for (int64_t k = 0; k < 27; ++k) {
      int64_t parent = parents[lut_parent[octant + k]];
      table[27 * row + k] = parent < 0 ? -1 : children[8 * parent + lut_child[octant + k]];
    }
  }
}

// The eight nodes around places at an offset in [-0.5, 0.5] from the center of their node, and their trilinear weights;
// the weights of missing nodes are zero and the others sum to 1.
void pcrq_corners(int32_t* index, float* weight, const int64_t* table, const int64_t* row, const float* offset,
                  int64_t places, int64_t threads) {
  constexpr int64_t stride[3] = {9, 3, 1};
#pragma omp parallel for num_threads(team(threads, places * 64))
  for (int64_t p = 0; p < places; ++p) {
    float total = 0;
    for (int64_t j = 0; j < 8; ++j) {
      int64_t column = 13;
      float w = 1;
      for (int64_t axis = 0; axis < 3; ++axis) {
        const float x = offset[3 * p + axis], share = x < 0 ? -x : x;
        const bool leave = j >> (2 - axis) & 1;
        w *= leave ? share : 1 - share;
        if (leave) column += x < 0 ? -stride[axis] : stride[axis];
      }
      int64_t node = table[27 * row[p] + column];
      index[8 * p + j] = static_cast<int32_t>(std::max<int64_t>(node, 0));
      total += weight[8 * p + j] = node < 0 ? 0 : w;
    }
    for (int64_t j = 0; j < 8; ++j) weight[8 * p + j] /= total;
  }
}

#define PCRQ_FOR_TYPE(T, suffix)                                                                                      \
  void pcrq_convolve_##suffix(T* out, const T* data, const T* weights, const int64_t* begin, const int32_t* target,    \
                              const int32_t* source, int64_t rows, int64_t offsets, int64_t in, int64_t columns,       \
                              int64_t threads) {                                                                       \
    convolve(out, data, weights, begin, target, source, rows, offsets, in, columns, threads);                          \
  }                                                                                                                    \
  void pcrq_convolve_weights_##suffix(T* out, const T* data, const T* grad, const int64_t* begin,                      \
                                      const int32_t* target, const int32_t* source, int64_t rows, int64_t offsets,     \
                                      int64_t in, int64_t columns, int64_t threads) {                                  \
    convolve_weights(out, data, grad, begin, target, source, rows, offsets, in, columns, threads);                     \
  }                                                                                                                    \
  void pcrq_point_range_##suffix(T* low, T* high, const T* points, const int64_t* cloud, int64_t count, int64_t axes,  \
                                 int64_t clouds, int64_t threads) {                                                    \
    point_range(low, high, points, cloud, count, axes, clouds, threads);                                               \
  }                                                                                                                    \
  void pcrq_quantize_points_##suffix(T* out, const T* points, const int64_t* cloud, const T* edges, const T* values,   \
                                     int64_t count, int64_t axes, int64_t bins, int64_t threads) {                     \
    quantize_points(out, points, cloud, edges, values, count, axes, bins, threads);                                    \
  }                                                                                                                    \
  void pcrq_segment_max_##suffix(T* out, uint8_t* which, const T* data, const int64_t* start, int64_t segments,        \
                                 int64_t columns, int64_t threads) {                                                   \
    segment_max(out, which, data, start, segments, columns, threads);                                                  \
  }                                                                                                                    \
  void pcrq_segment_max_backward_##suffix(T* out, const uint8_t* which, const T* grad, const int64_t* start,           \
                                          int64_t segments, int64_t columns, int64_t threads) {                        \
    segment_max_backward(out, which, grad, start, segments, columns, threads);                                         \
  }                                                                                                                    \
  void pcrq_segment_sum_##suffix(T* out, const T* data, const int64_t* start, int64_t segments, int64_t columns,       \
                                 int64_t threads) {                                                                    \
    segment_sum(out, data, start, segments, columns, threads);                                                         \
  }                                                                                                                    \
  void pcrq_normalize_##suffix(T* out, T* length, const T* data, int64_t rows, int64_t columns, int64_t threads) {     \
    normalize(out, length, data, rows, columns, threads);                                                              \
  }                                                                                                                    \
  void pcrq_normalize_backward_##suffix(T* out, const T* grad, const T* unit, const T* length, int64_t rows,           \
                                        int64_t columns, int64_t threads) {                                            \
    normalize_backward(out, grad, unit, length, rows, columns, threads);                                               \
  }                                                                                                                    \
  void pcrq_interpolate_##suffix(T* out, const T* data, const int32_t* index, const float* weight, int64_t places,     \
                                 int64_t columns, int64_t threads) {                                                   \
    interpolate(out, data, index, weight, places, columns, threads);                                                   \
  }                                                                                                                    \
  void pcrq_interpolate_backward_##suffix(T* out, const T* grad, const int32_t* index, const float* weight,            \
                                          int64_t places, int64_t columns, int64_t threads) {                          \
    interpolate_backward(out, grad, index, weight, places, columns, threads);                                          \
  }

PCRQ_FOR_TYPE(float, f32)
PCRQ_FOR_TYPE(double, f64)

}  // extern "C"
