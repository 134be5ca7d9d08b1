"""The camera against an independent computation, and the crops."""

import math

import numpy as np
import pytest

from benchmarks.chess.camera import CROP, Camera, Cropper, square_crops

CAMERAS = (Camera(50, 0), Camera(43, 17, 14), Camera(57, -12, 20, 0.9))


def rotation(axis: int, degrees: float) -> np.ndarray:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = np.eye(3)
    i, j = [k for k in range(3) if k != axis]
    matrix[i, i] = matrix[j, j] = cos
    matrix[i, j], matrix[j, i] = (-sin, sin) if axis != 1 else (sin, -sin)
    return matrix


@pytest.mark.parametrize("camera", CAMERAS)
def test_projection_is_a_pinhole_matrix(camera: Camera) -> None:
    """A 3x4 matrix K [R | t] made of elementary rotations gives the same pixels up to focal length and centre."""
    points = np.random.default_rng(0).uniform((0, 0, 0), (8, 8, 2), (50, 3))
    # World -> camera (x right, y down, z forward): turn the world back, then tip it to the view.
    turned = rotation(0, 90 + camera.elevation) @ rotation(2, -camera.azimuth)
    translation = -turned @ np.array((4.0, 4.0, 0.0)) + (0, 0, camera.distance)
    seen = points @ turned.T + translation
    flat = seen[:, :2] / seen[:, 2:]
    pixels = camera.project(points)
    design = np.concatenate((flat.reshape(-1, 1), np.tile(np.eye(2), (50, 1))), axis=1)
    solution, *_ = np.linalg.lstsq(design, pixels.reshape(-1), rcond=None)
    assert solution[0] > 0
    np.testing.assert_allclose(design @ solution, pixels.reshape(-1), atol=1e-8)
    np.testing.assert_allclose(camera.depth(points), seen[:, 2])


@pytest.mark.parametrize("camera", CAMERAS)
def test_unproject_inverts_project_on_the_board(camera: Camera) -> None:
    ground = np.random.default_rng(1).uniform(0, 8, (40, 2))
    pixels = camera.project(np.concatenate((ground, np.zeros((40, 1))), axis=1))
    np.testing.assert_allclose(camera.unproject(pixels), ground, atol=1e-9)


@pytest.mark.parametrize("camera", CAMERAS)
def test_board_and_boxes_lie_in_the_frame(camera: Camera) -> None:
    height, width = camera.shape
    boxes = camera.boxes()
    assert (boxes[:, 2] > boxes[:, 0]).all()
    assert (boxes[:, 3] > boxes[:, 1]).all()
    assert boxes.min() >= -1
    assert (boxes[:, 2] <= width + 1).all()
    assert (boxes[:, 3] <= height + 1).all()
    # Near squares are larger.
    assert boxes[3, 2] - boxes[3, 0] > boxes[59, 2] - boxes[59, 0]


def test_a_subset_of_crops_equals_the_full_set() -> None:
    frame = np.random.default_rng(2).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    camera = CAMERAS[1]
    full = square_crops(frame, camera)
    assert full.shape == (64, 3, *CROP)
    assert full.dtype == np.uint8
    squares = np.array([63, 0, 17, 17])
    np.testing.assert_array_equal(square_crops(frame, camera, squares), full[squares])
    assert square_crops(frame, camera, []).shape == (0, 3, *CROP)


def test_crops_sample_the_frame_bilinearly() -> None:
    """On an image that is linear in its column and row, every sample is the value at its place in the box."""
    camera = CAMERAS[0]
    row, column = np.mgrid[:240, :320]
    frame = np.stack((np.minimum(column, 255), row, row), axis=-1).astype(np.uint8)
    crops = square_crops(frame, camera).astype(float)
    left, top, right, bottom = camera.boxes()[27]
    columns = left + (np.arange(CROP[1]) + 0.5) / CROP[1] * (right - left) - 0.5
    rows = top + (np.arange(CROP[0]) + 0.5) / CROP[0] * (bottom - top) - 0.5
    assert np.abs(crops[27, 0] - columns).max() <= 0.51
    assert np.abs(crops[27, 1] - rows[:, None]).max() <= 0.51


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"elevation in \(0, 90\) degrees, got 90"):
        Camera(90)
    with pytest.raises(ValueError, match=r"zoom in \(0, 1\], got 2"):
        Camera(zoom=2)
    with pytest.raises(ValueError, match="distance >= 9"):
        Camera(distance=3)
    with pytest.raises(ValueError, match=r"frame of shape \(240, 320, 3\), got \(10, 10, 3\)"):
        Cropper(Camera())(np.zeros((10, 10, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"squares in 0\.\.63"):
        square_crops(np.zeros((240, 320, 3), dtype=np.uint8), Camera(), [64])
