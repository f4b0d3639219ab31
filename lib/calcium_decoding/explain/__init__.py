"""What a trained decoder looks at: occlusion, Deep SHAP, attribution, and what such maps are held against."""
