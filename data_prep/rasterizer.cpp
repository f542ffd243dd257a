// The virtual scanner's view of a mesh from two opposite sides, called from sampling.py through a plain C function.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

// Project triangles onto a square of pixels whose centers have integer coordinates.
//
// near, far: (resolution²) depths of the first surface from either side, row by row; near_face, far_face: its triangle,
// or -1. corners: (vertices, 3) column, row and depth, which grows towards the viewer of `near`. faces: (count, 3).
extern "C" void pcrq_rasterize_1(double* near, int32_t* near_face, double* far, int32_t* far_face,
                                 const double* corners, const int64_t* faces, int64_t count, int64_t resolution) {
  const double infinity = std::numeric_limits<double>::infinity();
  const int64_t size = resolution * resolution;
  std::fill(near, near + size, -infinity);
  std::fill(far, far + size, infinity);
  std::fill(near_face, near_face + size, -1);
  std::fill(far_face, far_face + size, -1);
  for (int64_t face = 0; face < count; ++face) {
    const int64_t* index = faces + 3 * face;
    const double* p[3] = {corners + 3 * index[0], corners + 3 * index[1], corners + 3 * index[2]};
    const double ax = p[1][0] - p[0][0], ay = p[1][1] - p[0][1], az = p[1][2] - p[0][2];
    const double bx = p[2][0] - p[0][0], by = p[2][1] - p[0][1], bz = p[2][2] - p[0][2];
    const double area = ax * by - bx * ay;
    if (area == 0) continue;  // seen edge-on
    const double along_x = (az * by - bz * ay) / area, along_y = (ax * bz - bx * az) / area;
    const auto x_range = std::minmax({p[0][0], p[1][0], p[2][0]});
    const auto y_range = std::minmax({p[0][1], p[1][1], p[2][1]});
    const auto z_range = std::minmax({p[0][2], p[1][2], p[2][2]});

    // Each edge bounds the columns of a row from one side. Both triangles at an edge compute it from the corner of
    // lower index, so that they leave no gap.
    double start_x[3] = {}, start_y[3] = {}, slope[3] = {};
    bool lower[3] = {}, used[3] = {};
    for (int edge = 0; edge < 3; ++edge) {
      const int from = edge, to = (edge + 1) % 3;
      const bool turned = index[from] > index[to];
      const double *a = p[turned ? to : from], *b = p[turned ? from : to];
      used[edge] = a[1] != b[1];
      if (!used[edge]) continue;  // parallel to the rows
      start_x[edge] = a[0];
      start_y[edge] = a[1];
      slope[edge] = (b[0] - a[0]) / (b[1] - a[1]);
      lower[edge] = ((b[1] > a[1]) != turned) != (area > 0);
    }
    const int64_t first_row = std::max<int64_t>(0, static_cast<int64_t>(std::ceil(y_range.first)));
    const int64_t last_row = std::min<int64_t>(resolution - 1, static_cast<int64_t>(std::floor(y_range.second)));
    for (int64_t row = first_row; row <= last_row; ++row) {
      double left = x_range.first, right = x_range.second;
      for (int edge = 0; edge < 3; ++edge) {
        if (!used[edge]) continue;
        const double x = start_x[edge] + slope[edge] * (row - start_y[edge]);
        if (lower[edge]) left = std::max(left, x);
        else right = std::min(right, x);
      }
      const int64_t first = std::max<int64_t>(0, static_cast<int64_t>(std::ceil(left)));
      const int64_t last = std::min<int64_t>(resolution - 1, static_cast<int64_t>(std::floor(right)));
      for (int64_t column = first; column <= last; ++column) {
        double z = p[0][2] + along_x * (column - p[0][0]) + along_y * (row - p[0][1]);
        z = std::min(std::max(z, z_range.first), z_range.second);
        const int64_t pixel = row * resolution + column;
        if (z > near[pixel]) near[pixel] = z, near_face[pixel] = static_cast<int32_t>(face);
        if (z < far[pixel]) far[pixel] = z, far_face[pixel] = static_cast<int32_t>(face);
      }
    }
  }
}
