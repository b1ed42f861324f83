"""Room acoustics: image sources, diffraction, scattering, ray tracing, HRTF, recording."""
