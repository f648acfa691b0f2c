/**
 * The parts of the API's JSON that the page reads; `search/api/schemas` says all of it.
 *
 * @typedef {[number, number]} XY
 * @typedef {[number, number, number, number]} Box
 * @typedef {{size: [number, number], counts: string}} Rle
 * @typedef {{box: Box, area_px: number, area_fraction: number, predicted_iou: number,
 *   stability_score: number | null, rle: Rle}} Region
 * @typedef {Region & {id: string, image_id: string, parent_id: string | null, depth: number,
 *   label: string | null, label_score: number | null, label_source: string | null}} Segment
 * @typedef {{id: string, path: string, paths: string[], width: number, height: number,
 *   format: string, taken_at: string | null, camera: string | null, gps: XY | null,
 *   n_segments: number}} Image
 * @typedef {{image: Image, segment: Segment | null, score: number, standard_score: number | null,
 *   contrast: number | null, relevance: number | null}} Hit
 * @typedef {{image: Image, relevance: number, things: Record<string, Hit[]>}} SceneHit
 * @typedef {{kind: "segments" | "images" | "scenes", hits: Hit[], scenes: SceneHit[],
 *   next_offset: number | null, least: number | null, nearest: Hit | null, absent: string[],
 *   took_ms: number}} SearchResponse
 * @typedef {{text?: string, segment_id?: string, image_id?: string, upload_id?: string,
 *   box?: Box, points?: XY[], not_points?: XY[]}} Example
 * @typedef {{state: "never" | "running" | "stopping" | "done" | "stopped" | "failed",
 *   started_at: string | null, ended_at: string | null, message: string | null,
 *   progress: Record<string, any>}} IndexRun
 * @typedef {{exists: boolean, files: number, images: number, segments: number, failed: number,
 *   size_bytes: number | null, roots: string[], clip: string | null,
 *   sam2: string | null, access: {role: string, files: boolean, can_index: boolean},
 *   run: IndexRun, version: string}} Stats
 *
 * What is shown in one cell of the grid:
 *
 * @typedef {{image: Image, hit: Hit | null, scene: SceneHit | null}} Item
 */

export {};
